"""Every routing system and baseline, behind one protocol (`base/protocol.py`); `systems.py` lists them."""
