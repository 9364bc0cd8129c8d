"""What a routing system is (`protocol.py`), and what every system shares."""
