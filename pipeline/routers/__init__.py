"""Every routing system and baseline, behind one protocol (`protocol.py`); `systems.py` lists them."""
