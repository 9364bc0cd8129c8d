"""One module a tab of the web page."""
