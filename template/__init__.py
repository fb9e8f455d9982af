"""Makes copies of this template, and patches for them. A copy itself does not have this folder.

``new.py`` writes a copy, ``diff.py`` the changes since; ``tree.py`` knows what can be left out.
"""
