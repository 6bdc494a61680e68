"""docs: HTML of the pages of CPython's documentation that the series changes or adds, made by Sphinx.

Sphinx reads all pages, so that every reference is checked, which takes some minutes the first time.  It writes only the
pages that differ from upstream: links from these to other pages are made to lead to docs.python.org.
"""

import os
import re

from tools import python_environment
from tools import tree as tree_module
from tools import ui
from tools import variants

_REQUIREMENTS = 'tools/docs-requirements.txt'
# The version that the pages speak of as the next one: it is the one whose What's New the series has.
_VERSION = '3.16'
_LINK = re.compile(r'(?<=\bhref=")([^":#]+\.html)(?=[#"])')
# What Sphinx writes to the file for its warnings: the page, the line, the text.
_WARNING = re.compile(r'(?P<path>[^:\n]+\.(?:rst|inc))(?::(?P<line>\d+))?: (?P<text>(?:WARNING|ERROR|CRITICAL): .*)')


def pages(tree):
    """Return the paths of the pages in build/src that differ from upstream, committed or not."""
    changed = tree.git.text('diff', '--name-only', '--diff-filter=d', 'upstream', '--', 'Doc').splitlines()
    added = tree.git.text('ls-files', '--others', '--exclude-standard', '--', 'Doc').splitlines()
    return sorted(name for name in {*changed, *added} if name.endswith('.rst'))


def find_warnings(text, source, names):
    """Return those of Sphinx's warnings in `text` that are about one of the pages `names` below the folder `source`."""
    found = []
    for line in text.splitlines():
        match = _WARNING.match(line)
        if match:
            name = os.path.relpath(os.path.join(source, match['path']), source)
            if name in names:
                found.append(':'.join(filter(None, (name, match['line']))) + f': {match["text"]}')
    return found


def lead_elsewhere(html, names, version):
    """Have links from the pages `names` in the folder html lead to docs.python.org, if there is no page here."""
    for name in names:
        page = (html / name.removeprefix('Doc/')).with_suffix('.html')

        def replace(match):
            target = os.path.normpath(page.parent / match[1])
            if os.path.exists(target):
                return match[1]
            return f'https://docs.python.org/{version}/{os.path.relpath(target, html)}'

        page.write_text(_LINK.sub(replace, page.read_text(encoding='utf-8')), encoding='utf-8')


def build(project, *, source_file=None, offline=False):
    """Build the HTML and say where it is.

    Raises:
        UserError: Sphinx failed, or has warnings about one of the pages.
    """
    builder = variants.Builder(project, variants.DEFAULT)
    builder.build(source_file=source_file, offline=offline)
    # (Debian 12's own Python is too old for linklint.)
    python = python_environment.ensure(project, 'docs-venv', _REQUIREMENTS, offline=offline, python=builder.python)
    names = pages(tree_module.Tree(project))
    folder = project.build / 'docs'
    folder.mkdir(exist_ok=True)
    warnings = folder / 'warnings'
    html = folder / 'html'
    for name in names:
        # So that Sphinx reads the page again, and repeats its warnings about it.
        (folder / 'doctrees' / name.removeprefix('Doc/')).with_suffix('.doctree').unlink(missing_ok=True)
    # -n: as CPython's own check, see Doc/tools/check-warnings.py.
    command = [python, '-m', 'sphinx', '-b', 'html', '-n', '-j', len(os.sched_getaffinity(0)),
               '-d', folder / 'doctrees', '-w', warnings, '-D', f'version={_VERSION}', '-D', f'release={_VERSION}',
               project.src / 'Doc', html, *names]
    ui.run_logged(f'building {len(names)} pages of the documentation', list(map(str, command)),
                  log=project.logs / 'docs.log', cwd=project.src, env=ui.clean_environment(),
                  hint='See what is wrong with the page in build/src/Doc.')
    problems = find_warnings(warnings.read_text(encoding='utf-8'), project.src, names)
    if problems:
        raise ui.UserError('Sphinx has warnings about pages that the series touches:\n'
                           + ''.join(f'  {problem}\n' for problem in problems) + '  Fix them in build/src/Doc.')
    lead_elsewhere(html, names, project.upstream.version.rpartition('.')[0])
    for name in names:
        ui.say(f'  {html / name.removeprefix("Doc/").removesuffix(".rst")}.html')
