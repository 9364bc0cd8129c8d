"""A package, so that its tests share one service and it ends with them."""
