"""Reports on predictions beside baselines, recommendations, and the plots of both."""
