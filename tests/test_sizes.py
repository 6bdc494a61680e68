"""tools/sizes.py: what counts as a line."""

from tools import sizes


def test_python():
    assert sizes.python_lines('''\
"""A module.

Its text."""

import x  # a comment

# Another.
class C:
    """A docstring."""
    text = """one
    two"""

    def f(self):
        return (1,
                2)
''') == 7


def test_c():
    assert sizes.c_lines('/* A\n   comment */\nint x;    /* more */\n\n#define Y \\\n    1\n') == 3


def test_patch():
    assert sizes.patch_lines('''\
Subject: asyncio: Change it

- a list
---

diff --git a/Lib/asyncio/tasks.py b/Lib/asyncio/tasks.py
--- a/Lib/asyncio/tasks.py
+++ b/Lib/asyncio/tasks.py
@@ -1,2 +1,2 @@
-old
+new
 same
diff --git a/Lib/test/test_asyncio/test_tasks.py b/Lib/test/test_asyncio/test_tasks.py
--- a/Lib/test/test_asyncio/test_tasks.py
+++ b/Lib/test/test_asyncio/test_tasks.py
@@ -1 +1 @@
-old
+new
diff --git a/Modules/clinic/_asynciomodule.c.h b/Modules/clinic/_asynciomodule.c.h
--- a/Modules/clinic/_asynciomodule.c.h
+++ b/Modules/clinic/_asynciomodule.c.h
@@ -1 +1 @@
-old
+new
''') == 2


def test_files_of_a_group():
    revision = sizes.Revision()
    assert revision.match(['Lib/asyncio/interrupts.py']) == ['Lib/asyncio/interrupts.py']
    assert revision.match(['Modules/_asyncio/*.h']) == ['Modules/_asyncio/scopes.h']
    assert 'Lib/asyncio/_cancel_tree.py' in revision.match(['Lib/asyncio/_cancel_*.py'])
