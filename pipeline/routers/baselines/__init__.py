"""The routers that every report shows beside the four systems: linear, nearest neighbours, clusters, tf-idf."""
