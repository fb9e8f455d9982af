"""Keeps this directory from posing as uWSGI's built-in module of the same name.

Libraries use `try: import uwsgi` to find out whether they run inside uWSGI. There, the server has
its own module in sys.modules, and Python does not read this file.
"""

raise ImportError("the module uwsgi exists only inside the uWSGI server")
