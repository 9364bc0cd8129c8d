"""Small methods of learning that routers share: linear heads, cross-fitting, calibration, tf-idf."""
