"""What an earlier survey said, to tell what has changed since: previous.json, made by `./build.sh survey --remember`.

It has the regressions of that survey by cause, and those of the topics in triage.toml: kinds of regressions that cut
across the causes, which a change of the rules was made for.
"""

import json

from survey.conduct import write
from survey.projects import HERE

FILE = HERE / 'previous.json'


def remember(results, judgment, path=FILE):
    """Write what the present results say; they are what later ones are compared with."""
    causes = judgment.give_causes(results)
    write(path, {
        'date': max(result['date'] for result in results.values()),
        'interpreters': sorted({result['interpreters']['patched'] for result in results.values()}),
        'fine_on_stock': {name: result['summary']['tests'] - result['summary']['flaky']
                          - result['summary']['failing_on_stock'] for name, result in results.items()},
        'causes': {cause.id: _by_project(_of(cause)) for cause in causes if cause.regressions},
        'topics': {topic.id: _by_project(topic.regressions(causes)) for topic in judgment.topics},
    })


def compare(results, causes, topics, path=FILE):
    """Return what the report says of then and now, or None if there is no earlier survey.

    Args:
        results: {name: result}, what depends on chance set aside.
        causes: what Triage.give_causes() has returned for them.
        topics: those of triage.toml.
    """
    if not path.exists():
        return None
    data = json.loads(path.read_text(encoding='utf-8'))
    now = {(name, test) for name, result in results.items() for test in result['regressions']}
    surveyed_again = {name for name, result in results.items()
                      if result['interpreters']['patched'] not in data['interpreters']}
    titles = {cause.id: cause.title for cause in causes}
    present = {cause.id: set(_of(cause)) for cause in causes}
    entries = {id: _entry(titles.get(id, id), data['causes'].get(id, {}), present.get(id, set()), now)
               for id in {**data['causes'], **{cause.id: None for cause in causes if cause.regressions}}}
    return {
        'date': data['date'],
        'before': sum(entry['before'] for entry in entries.values()),
        'now': len(now),
        # Projects whose results are still those of then.
        'not_again': sorted(results.keys() - surveyed_again, key=str.lower),
        'again': sorted(surveyed_again, key=str.lower),
        'causes': dict(sorted(entries.items(), key=lambda item: -item[1]['before'])),
        'topics': [{
            **_entry(topic.title, data['topics'].get(topic.id, {}), set(topic.regressions(causes)), now),
            'rules': topic.rules, 'text': topic.text, 'projects': sorted(data['topics'].get(topic.id, {})),
        } for topic in topics],
    }


def _entry(title, before, present, now):
    """Return the figures of one cause or topic: then, now, and how many of those of then are no regressions any more."""
    pairs = [(project, test) for project, tests in before.items() for test in tests]
    return {'title': title, 'before': len(pairs), 'now': len(present), 'gone': sum(pair not in now for pair in pairs)}


def _of(cause):
    """Return the regressions of a cause, as (project, test)."""
    return [(finding.project, test) for finding in cause.findings for test, _ in finding.regressions]


def _by_project(regressions):
    result = {}
    for project, test in regressions:
        result.setdefault(project, []).append(test)
    return {project: sorted(tests) for project, tests in sorted(result.items())}
