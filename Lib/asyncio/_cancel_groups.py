"""Taking CancelledErrors out of exception groups.

Code in a cancelled scope can end with a group of errors, some of which are the
cancellations that the scope itself has caused.  The scope takes those out, as
BaseExceptionGroup.split() does, but

- groups without a cancellation in them stay the same objects;
- nothing recurses (but for the split() of a subclass), and no group is
  searched twice.
"""

import functools
import weakref

from . import exceptions


# What a subclass of BaseExceptionGroup or BaseException cannot redefine.
_get_members = BaseExceptionGroup.exceptions.__get__
_get_context = BaseException.__context__.__get__
_set_context = BaseException.__context__.__set__
_KEPT = [(attribute.__get__, attribute.__set__) for attribute in (
    BaseException.__traceback__, BaseException.__context__,
    BaseException.__cause__, BaseException.__suppress_context__)]


def _is_cancellation(exc):
    return isinstance(exc, exceptions.CancelledError)


def _without_cancellations(group):
    """Return the exception group *group* without the CancelledErrors in it.

    That is *group* itself if there are none, and None if there is nothing
    else.
    """
    if type(group).split is not BaseExceptionGroup.split:
        return _split(group)
    return _take_out(group, _is_cancellation, _found_free)


def _raise_rest(rest):
    """Raise what _without_cancellations() has returned."""
    context = _get_context(rest)
    try:
        raise rest
    finally:
        # The group is being handled, but has not caused this.
        _set_context(rest, context)
        del rest, context


def _split(group):
    """_without_cancellations() for a class that has a split() of its own."""
    if not _find_groups_with(group, _is_cancellation, _found_free)[0]:
        return group
    try:
        pair = group.split(exceptions.CancelledError)
        # It can return anything.
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(f'{type(group).__name__}.split() must return a '
                            f'pair, not {type(pair).__name__}')
        matched, rest = pair
        if rest is not None and not isinstance(rest, BaseException):
            raise TypeError(f'{type(group).__name__}.split() must return '
                            f'exceptions or None, not {type(rest).__name__}')
        return group if matched is None else rest
    except BaseException as exc:
        _chain(exc, group)
        raise
    finally:
        del group
        pair = matched = rest = None


def _take_out(group, is_unwanted, known=()):
    """Return *group* without the exceptions for which *is_unwanted* is true.

    As BaseExceptionGroup.split() does, but groups without such exceptions, and
    those in *known*, stay what they are, and nothing recurses.
    """
    found, groups = _find_groups_with(group, is_unwanted, known)
    if not found:
        return group
    remaining = {}  # The rest of each of the groups.
    try:
        for each in groups:
            members = []
            for member in _get_members(each):
                member = remaining.get(id(member), member)
                if member is not None and not is_unwanted(member):
                    members.append(member)
            remaining[id(each)] = _derive(each, members) if members else None
        return remaining[id(group)]
    except BaseException as exc:
        _chain(exc, group)
        raise
    finally:
        # Exceptions refer to this frame.
        del group, remaining
        found = groups = each = members = member = None


def _find_groups_with(group, is_unwanted, known):
    """Look for exceptions for which *is_unwanted* is true in *group*.

    Return whether there are any, and a list of the groups that they are in, at
    any depth, inner ones first.  Groups in *known* are known to have none.
    """
    seen = set()
    found = {}
    todo = [group]
    while todo:
        each = todo[-1]
        if id(each) not in seen:
            seen.add(id(each))
            if each not in known:
                todo += [
                    member for member in _get_members(each)
                    if isinstance(member, BaseExceptionGroup)
                    and not is_unwanted(member) and id(member) not in seen]
            continue
        todo.pop()
        if id(each) not in found and each not in known and any(
                id(member) in found or is_unwanted(member)
                for member in _get_members(each)):
            found[id(each)] = each
    return bool(found), list(found.values())


def _derive(group, members):
    """Return a group like *group* with other members."""
    derived = group.derive(members)
    if not isinstance(derived, BaseExceptionGroup):
        raise TypeError(f'{type(group).__name__}.derive() must return a '
                        f'group, not {type(derived).__name__}')
    for get, set in _KEPT:
        set(derived, get(group))
    notes = getattr(group, '__notes__', None)
    if isinstance(notes, (list, tuple)):
        derived.__notes__ = list(notes)
    return derived


def _chain(exc, group):
    """Let *exc*, because of which *group* is not raised, tell of it."""
    seen = {id(group)}
    last = group
    while (last := _get_context(last)) is not None and id(last) not in seen:
        seen.add(id(last))
    while id(exc) not in seen:
        seen.add(id(exc))
        context = _get_context(exc)
        if context is None:
            _set_context(exc, group)
            break
        exc = context


class _FoundFree:
    """The groups of errors that have been found free of cancellations.

    An error that goes through many groups of tasks becomes a part of a larger
    group of errors in each, which must not be searched as a whole each time.
    An exception cannot be referred to weakly, and an attribute of it would be
    seen by the program, and stay when the exception is raised anew in another
    scope.  But what is a local variable where the exception is raised lives as
    long as its traceback, which nothing else has.
    """

    class _Witness:
        __slots__ = 'members', '__weakref__'

    def __init__(self):
        self._witnesses = {}  # Weak references, by the id of the group.

    def add(self, group):
        """Return an object; *group* is known as long as that exists."""
        key = id(group)
        witness = self._Witness()
        # By identity: a group's members cannot be exchanged.
        witness.members = id(_get_members(group))
        self._witnesses[key] = weakref.ref(
            witness, functools.partial(self._forget, key))
        return witness

    def _forget(self, key, reference):
        if self._witnesses.get(key) is reference:
            del self._witnesses[key]

    def __contains__(self, group):
        reference = self._witnesses.get(id(group))
        witness = None if reference is None else reference()
        return (witness is not None
                and witness.members == id(_get_members(group)))


_found_free = _FoundFree()


def _find_free(group):
    """If *group* is free of cancellations, remember that.

    As long as what is returned exists: it is for a local variable of the
    function that raises *group*.
    """
    if _find_groups_with(group, _is_cancellation, _found_free)[0]:
        return None
    return _found_free.add(group)
