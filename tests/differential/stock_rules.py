"""By which rule of docs/semantics.md a program does something else than on stock."""


def first_difference(left, right):
    """The index of the first event in which two records differ."""
    for index, (one, other) in enumerate(zip(left, right)):
        if one != other:
            return index
    return min(len(left), len(right))


def event(record, index):
    return record[index] if index < len(record) else None


def shape(left, right):
    """What differs first, in words without names, messages and times."""
    place = first_difference(left, right)
    return ' / '.join(map(_shape_of, (event(left, place), event(right, place))))


def _shape_of(found):
    if found is None:
        return 'nothing'
    words = [found[0] if found[0] in ('loop', 'end', 'callback', 'machine', 'main') else 'task']
    for word in found[1:]:
        if isinstance(word, str):
            words.append(word.partition('(')[0].partition('.')[0].rstrip('0123456789'))
    return ' '.join(words)


def is_quiet(record):
    """Tell if nothing was cancelled, timed out or failed in the background."""
    for found in record:
        for word in found[2:]:
            if isinstance(word, str) and ('CancelledError' in word or 'TimeoutError' in word or 'handler' in word
                                          or 'GeneratorExit' in word or word in ('cancelled', 'cancel', 'uncancel')):
                return False
    return True


def find_rule(changes, program, stock, found, place, quiet):
    return '+'.join(changes)
