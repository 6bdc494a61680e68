"""Random programs of stock asyncio's API as plain data, and how they are made and printed.

A program is {"main": block}, and has "eager": true if every task starts eagerly; a block is a list of statements, a
statement is a dict whose "op" is one of OPS, and what runs it is in stock_machine.  Everything is JSON.  What refers to
something does so by its id:

    main, t1, t2 ...    coroutines and their tasks      m1 ...  timeouts        g1 ...  groups      x1 ...  exit stacks
    e1 ...  events      k1 ...  locks       v1 ...  semaphores, for two         c1 ...  conditions
    b1 ...  barriers, for two               q1 ...  queues, for two             f1 ...  futures

An id that is never defined is fine: what refers to it does nothing (the shrinker makes such programs).

Each time is a multiple of 1/8 s and a little more, which is different for each statement: which of two timers that are
due at the same moment comes first is nobody's promise.
"""

# Statement -> the keys of its blocks, in the order in which they run.
OPS = {
    # What does not wait; these can be the actions of a callback as well.
    'cancel': (),                   # of: a task, or "self"; msg
    'uncancel': (),                 # of
    'cancelling': (),               # of
    'reschedule': (),               # of: a timeout; after: relative to now, may be negative, or None
    'set': (),                      # of: an event, or a future; how: "result" or "exception"
    'clear': (),                    # of: an event
    'cancel_future': (),            # of, msg
    'put_nowait': (),               # of
    'get_nowait': (),               # of
    'task_done': (),                # of
    'shutdown': (),                 # of, immediate
    'spawn': ('body',),             # id, group: one, or "root"; eager
    'callback': ('actions',),       # delay, or None for call_soon()
    # What waits.
    'sleep': (),                    # d
    'checkpoint': (),               # sleep(0)
    'raise': (),                    # error
    'wait': (),                     # of: an event, future, barrier or queue; how
    'lock': ('body',),              # of: a lock or a semaphore
    'condition': (),                # of; how: "wait", "wait_for", "notify" or "notify_all"
    'try': ('body', 'handler'),     # catch; then: "swallow", "reraise", "replace" or "instead"
    'finally': ('body', 'handler'),
    'retry': ('body',),             # times: goes on after that many cancellations
    'timeout': ('body',),           # id, delay; at: timeout_at() instead of timeout()
    'timer': ('body',),             # id, delay; how: "async_timeout", "message" or "old"
    'group': ('body',),             # id
    'co': ('body',),                # id: a coroutine; awaited where it stands, if it is not the item of a statement
    'ref': (),                      # of: a task; awaited
    'gather': ('items',),           # items: co and ref; exceptions: whether they are returned
    'wait_tasks': ('items',),       # when: return_when; delay
    'as_completed': ('items',),     # how: "plain" or "async"; delay
    'wait_for': ('items',),         # delay
    'shield': ('items',),
    'agen': ('body', 'loop', 'handler'),    # number: of items; take: so many; end: "close", "task" or "drop"
    'stack': ('body', 'handler'),   # id, enter: kinds; delay; how: "here", "task" or "fixture"
}
ERRORS = 'E1', 'E2', 'E3'
CATCH = 'cancelled', 'error', 'any', 'timeout', 'E1', 'group'
UNIT = 1 / 8
SCOPES = 'timeout', 'group', 'wait_for', 'stack', 'reschedule'
CANCELS = 'cancel', 'uncancel', 'cancel_future', 'timer'


def blocks(statement):
    """The blocks of a statement: pairs of a key and a block."""
    return [(key, statement[key]) for key in OPS[statement['op']]]


def walk(block):
    """All statements of a block, at any depth."""
    for statement in block:
        yield statement
        for _, inner in blocks(statement):
            yield from walk(inner)


def size(program):
    """The number of statements."""
    return sum(1 for _ in walk(program['main']))


# Making smaller.

# What a value of a statement may be replaced by; the first that will do.
_SIMPLER = {
    'then': ['swallow', 'reraise'], 'catch': ['cancelled', 'any'], 'times': [1], 'error': ['E1'], 'msg': [None],
    'eager': [False], 'at': [False], 'immediate': [False], 'exceptions': [False], 'when': ['ALL_COMPLETED'],
    'number': [1], 'take': [1], 'enter': [['timeout'], ['group']], 'end': ['drop'], 'group': ['root'],
}


def simpler(op, key, value):
    """What to try in place of a value of a statement, the simplest first."""
    values = _SIMPLER.get(key, [])
    if key == 'how' and op in _HOW:
        values = _HOW[op]
    if value in values:
        return values[:values.index(value)]
    if key == 'delay' and op != 'timer' and value is not None:
        values = [None]
    if key in ('d', 'delay', 'after') and value is not None and value > 1:
        # (With what tells its time from all others.)
        values = [*values, value % UNIT + UNIT * 2]
    return values


_HOW = {'timer': ['old'], 'as_completed': ['plain'], 'stack': ['here'], 'condition': ['wait'], 'set': ['result']}


# Printing.

def show(program):
    """The program as readable pseudo code."""
    head = 'main, every task eager:' if program.get('eager') else 'main:'
    return '\n'.join([head, *_show(program['main'], 1)])


def _show(block, depth):
    indent = '    ' * depth
    lines = []
    for s in block:
        keys = OPS[s['op']]
        values = ' '.join(f'{key}={value}' for key, value in s.items() if key != 'op' and key not in keys)
        lines.append(f"{indent}{s['op']} {values}".rstrip() + (':' if keys else ''))
        for number, key in enumerate(keys):
            if number:
                lines.append(f'{indent}  {key}:')
            lines += _show(s[key], depth + 1)
    return lines or [f'{indent}pass']


# Generating.

_WEIGHTS = {
    'cancel': 12, 'uncancel': 3, 'cancelling': 4, 'reschedule': 3, 'set': 4, 'clear': 1, 'cancel_future': 1,
    'put_nowait': 2, 'get_nowait': 1, 'task_done': 1, 'shutdown': 1, 'spawn': 10, 'callback': 6,
    'sleep': 14, 'checkpoint': 6, 'raise': 4, 'wait': 10, 'lock': 5, 'condition': 4, 'try': 10, 'finally': 6,
    'retry': 3, 'timeout': 8, 'timer': 5, 'group': 7, 'co': 2, 'ref': 6, 'gather': 5, 'wait_tasks': 5,
    'as_completed': 4, 'wait_for': 5, 'shield': 5, 'agen': 4, 'stack': 3,
}
_ACTIONS = ('cancel', 'uncancel', 'set', 'put_nowait', 'get_nowait', 'reschedule', 'shutdown', 'cancel_future',
            'task_done')
_WAITABLE = 'e1', 'e2', 'f1', 'f2', 'b1', 'q1', 'q2'
_RELEASE = 40       # the time at which everything is set that may be waited for
_MAX_DEPTH = 6


def generate(rng, *, scopes=True, quiet=None):
    """A random program; *scopes*: with timeouts and groups; *quiet*: one in which nothing is cancelled, times out or
    fails in the background (None: every third one is meant to be)."""
    if quiet is None:
        quiet = rng.random() < 0.35
    return _Maker(rng, scopes, quiet).program()


class _Maker:

    def __init__(self, rng, scopes, quiet):
        self.rng = rng
        self.quiet = quiet
        self.count = {}
        self.statements = 0
        self.groups = []        # those around
        self.timeouts = []
        self.references = []    # statements that name a task, once all are known
        # Each program leaves some ops out, so that those it has meet more often.
        self.weights = {op: weight for op, weight in _WEIGHTS.items() if rng.random() > 0.35 or op == 'sleep'}
        if not scopes:
            for op in SCOPES:
                self.weights.pop(op, None)
        if quiet:
            for op in (*CANCELS, 'reschedule', 'shutdown'):
                self.weights.pop(op, None)
        self.left = rng.choice([5, 8, 12, 16, 24, 32])

    def program(self):
        main = self.block(0)
        # Otherwise many a program has one task.
        for _ in range(self.rng.choice([0, 1, 1, 2])):
            if self.quiet:
                main.insert(0, self.make_spawn({'op': 'spawn'}, 2))
            else:
                main.insert(0, {'op': 'spawn', 'id': self.new('t'), 'group': 'root', 'eager': False,
                                'body': self.interference()})
        if self.rng.random() < 0.9:
            actions = []
            for of in (*_WAITABLE, 'q1', 'q2'):
                actions.append({'op': 'set', 'of': of, 'how': 'result'} if of[0] in 'ef' else
                               {'op': 'put_nowait', 'of': of})
            main.insert(0, {'op': 'callback', 'delay': _RELEASE + self.rng.randint(0, 8) * UNIT, 'actions': [
                action for action in actions if action['of'][0] != 'b']})
        if self.quiet and self.count.get('t'):
            # So that nothing is left for run() to cancel.
            main.append({'op': 'wait_tasks', 'when': 'ALL_COMPLETED', 'delay': None, 'items': [
                {'op': 'ref', 'of': f't{n + 1}'} for n in range(self.count['t'])]})
        names = ['main', *(f't{n + 1}' for n in range(self.count.get('t', 0)))]
        for statement, chance in self.references:
            statement['of'] = 'self' if self.rng.random() < chance else self.rng.choice(names)
        program = {'main': main}
        if self.rng.random() < 0.2:
            program['eager'] = True
        return program

    def new(self, letter):
        self.count[letter] = self.count.get(letter, 0) + 1
        return f'{letter}{self.count[letter]}'

    def time(self):
        self.statements += 1
        return self.rng.randint(1, self.rng.choice([8, 24, 60])) * UNIT + self.statements * 2 ** -14

    def delay(self):
        """Of what may expire."""
        if self.quiet:
            return self.rng.choice([None, 1000 + self.time()])
        chance = self.rng.random()
        return None if chance < 0.12 else 0 if chance < 0.18 else self.time()

    def message(self):
        return self.rng.choice([None, None, f'm{self.rng.randint(1, 3)}'])

    def refer(self, s, chance=0.1):
        s['of'] = None
        self.references.append((s, chance))
        return s

    def interference(self):
        """What a task does that interferes with the others; often several things at one time."""
        block = []
        for _ in range(self.rng.randint(1, 4)):
            block.append({'op': 'sleep', 'd': self.time()})
            actions = self.actions()
            if self.rng.random() < 0.3:
                block.append({'op': 'callback', 'delay': None, 'actions': actions})
            else:
                block += actions
        return block

    def actions(self):
        found = []
        for _ in range(self.rng.choice([1, 1, 2, 2, 3])):
            ops = [op for op in _ACTIONS if op in self.weights] or ['set']
            weights = [_WEIGHTS[op] for op in ops]
            found.append(self.make({'op': self.rng.choices(ops, weights)[0]}, 9))
        return found

    def block(self, depth, least=1):
        length = self.rng.choice([1, 2, 2, 3, 4] if depth else [2, 3, 4, 5])
        return [self.statement(depth) for _ in range(max(least, length))]

    def statement(self, depth):
        self.left -= 1
        ops = [op for op in self.weights if not OPS[op] or (depth < _MAX_DEPTH and self.left > 0)]
        op = self.rng.choices(ops, [self.weights[op] for op in ops])[0]
        return self.make({'op': op}, depth)

    def make(self, s, depth):
        make = getattr(self, 'make_' + s['op'], None)
        if make is not None:
            return make(s, depth)
        pick = self.rng.choice
        match s['op']:
            case 'cancel':
                self.refer(s)['msg'] = self.message()
            case 'uncancel':
                self.refer(s, 0.6)
            case 'cancelling':
                self.refer(s, 0.5)
            case 'ref':
                self.refer(s, 0)
            case 'reschedule':
                s['of'] = pick(self.timeouts or ['m1'])
                s['after'] = pick([None, 0, -1, self.time(), self.time(), self.time()])
            case 'set':
                s['of'] = pick(['e1', 'e2', 'f1', 'f2'])
                s['how'] = pick(['result', 'result', 'exception'])
            case 'clear':
                s['of'] = pick(['e1', 'e2'])
            case 'cancel_future':
                s |= {'of': pick(['f1', 'f2']), 'msg': self.message()}
            case 'put_nowait' | 'get_nowait' | 'task_done':
                s['of'] = pick(['q1', 'q2'])
            case 'shutdown':
                s |= {'of': pick(['q1', 'q2']), 'immediate': pick([False, True])}
            case 'sleep':
                s['d'] = self.time()
            case 'raise':
                s['error'] = pick([*ERRORS[:2], 'E1'] if self.quiet else [*ERRORS[:2], 'E1', 'cancelled', 'timeout'])
            case 'wait':
                s['of'] = pick(_WAITABLE)
                s['how'] = {'q': pick(['get', 'get', 'put', 'join']),
                            'b': 'wait' if self.quiet else pick(['wait', 'wait', 'wait', 'reset', 'abort']),
                            }.get(s['of'][0], 'wait')
            case 'condition':
                s |= {'of': 'c1', 'how': pick(['wait', 'wait', 'wait_for', 'notify', 'notify_all'])}
        return s

    def make_callback(self, s, depth):
        return s | {'delay': self.rng.choice([None, self.time(), self.time()]), 'actions': self.actions()}

    def make_spawn(self, s, depth):
        s['id'] = self.new('t')
        s['group'] = self.groups[-1] if self.groups and self.rng.random() < 0.75 else 'root'
        s['eager'] = self.rng.random() < 0.15
        s['body'] = self.apart(depth, least=2)
        if self.quiet:
            s['body'] = [{'op': 'try', 'catch': 'error', 'then': 'swallow', 'body': s['body'], 'handler': []}]
        return s

    def apart(self, depth, least=1):
        """The block of a coroutine that may run as a task of its own."""
        groups = self.groups
        if self.rng.random() < 0.7:
            self.groups = []
        body = self.block(depth + 1, least)
        self.groups = groups
        return body

    def make_lock(self, s, depth):
        return s | {'of': self.rng.choice(['k1', 'k1', 'v1', 'c1']), 'body': self.block(depth + 1)}

    def make_try(self, s, depth):
        pick = self.rng.choice
        if self.quiet:
            s |= {'catch': pick(['error', 'error', 'any', 'E1', 'group']),
                  'then': pick(['swallow', 'swallow', 'reraise'])}
        else:
            s |= {'catch': pick(['cancelled', 'cancelled', 'cancelled', *CATCH]),
                  'then': pick(['swallow', 'swallow', 'reraise', 'reraise', 'replace', 'instead'])}
        return s | {'body': self.block(depth + 1), 'handler': self.block(depth + 1)}

    def make_finally(self, s, depth):
        return s | {'body': self.block(depth + 1), 'handler': self.block(depth + 1)}

    def make_retry(self, s, depth):
        return s | {'times': self.rng.randint(1, 3), 'body': self.block(depth + 1)}

    def make_timeout(self, s, depth):
        s |= {'id': self.new('m'), 'delay': self.delay(), 'at': self.rng.random() < 0.2}
        self.timeouts.append(s['id'])
        return s | {'body': self.block(depth + 1)}

    def make_timer(self, s, depth):
        return s | {'id': self.new('h'), 'delay': self.time(), 'body': self.block(depth + 1),
                    'how': self.rng.choice(['async_timeout', 'async_timeout', 'message', 'old'])}

    def make_group(self, s, depth):
        s['id'] = self.new('g')
        self.groups.append(s['id'])
        body = self.block(depth + 1)
        for _ in range(self.rng.choice([1, 1, 2, 2, 3])):
            task = self.make_spawn({'op': 'spawn'}, min(depth + 1, 4))
            task['group'] = s['id']
            body.insert(self.rng.randint(0, min(2, len(body))), task)
        if s['id'] in self.groups:
            self.groups.remove(s['id'])
        return s | {'body': body}

    def make_co(self, s, depth):
        return s | {'id': self.new('t'), 'body': self.apart(depth)}

    def items(self, depth, most=3, refs=0.5):
        found = []
        for _ in range(self.rng.randint(1, most)):
            if self.rng.random() < refs:
                found.append(self.refer({'op': 'ref'}, 0))
            else:
                found.append(self.make_co({'op': 'co'}, depth))
        return found

    def make_gather(self, s, depth):
        # Of a failure that gather() has raised the others go on in the background.
        return s | {'exceptions': self.quiet or self.rng.random() < 0.5, 'items': self.items(depth)}

    def make_wait_tasks(self, s, depth):
        when = self.rng.choice(['FIRST_COMPLETED', 'FIRST_EXCEPTION', 'ALL_COMPLETED'])
        return s | {'when': when, 'delay': self.rng.choice([None, self.time()]), 'items': self.items(depth, refs=1)}

    def make_as_completed(self, s, depth):
        delay = None if self.quiet else self.rng.choice([None, None, self.time()])
        return s | {'how': self.rng.choice(['plain', 'async']), 'delay': delay, 'items': self.items(depth)}

    def make_wait_for(self, s, depth):
        return s | {'delay': self.delay(), 'items': self.items(depth, 1)}

    def make_shield(self, s, depth):
        return s | {'items': self.items(depth, 1)}

    def make_agen(self, s, depth):
        number = self.rng.randint(1, 3)
        take = number + 1 if self.quiet else self.rng.randint(1, number + 1)
        s |= {'id': self.new('a'), 'number': number, 'take': take, 'end': self.rng.choice(['close', 'task', 'drop'])}
        return s | {'body': self.block(depth + 1), 'loop': self.block(depth + 1), 'handler': self.block(depth + 1)}

    def make_stack(self, s, depth):
        how = 'here' if self.quiet else self.rng.choice(['here', 'task', 'fixture'])
        enter = self.rng.choice([['timeout'], ['timeout'], ['group'], ['timeout', 'group']])
        s |= {'id': self.new('x'), 'enter': enter, 'delay': self.delay(), 'how': how}
        self.timeouts.append(s['id'])
        return s | {'body': self.block(depth + 1), 'handler': self.block(depth + 1)}
