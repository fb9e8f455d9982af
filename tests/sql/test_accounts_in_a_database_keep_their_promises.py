"""The tests of accounts in Redis hold for those in a database: conftest.py has another app."""

from tests.accounts.test_changes_end_sessions import *  # noqa: F403
from tests.accounts.test_journey import *  # noqa: F403
from tests.accounts.test_stale_session_changes_no_account import *  # noqa: F403
from tests.accounts.test_unknown_and_wrong_look_alike import *  # noqa: F403
