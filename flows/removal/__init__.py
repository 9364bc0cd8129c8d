"""Taking rows and versions out: forget, erase, prune."""
