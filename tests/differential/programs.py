"""Random structured-concurrency programs as plain data, and how they are made and printed.

A program is {"main": block}, and has "root": true if tasks are spawned into the root group as well; a block is a list
of statements; a statement is a dict whose "op" is one of OPS.  Blocks inside a statement are under the keys named there.  Everything is JSON.  What refers to something does so by its id:

    s1, s2 ...  scopes           m1 ...  timeouts            g1 ...  groups
    t1, t2 ...  spawned tasks    e1 ...  events              k1 ...  locks
    q1 ...      queues           c1 ...  conditions          v1 ...  semaphores, for two
    root        the root group (spawn only): the tasks in the background

An id is defined by one statement at most, and there is one object of that name at a time: if the statement is run
again, such as by a retry loop, the name stands for the new object from then on.  An id that is never defined is fine:
what refers to it does nothing (the shrinker makes such programs).

All times are multiples of 1/8 s, so that sums of them are exact.
"""

# Statement -> the keys of its blocks, in the order in which they run.
OPS = {
    'sleep': (),                    # d
    'checkpoint': (),               # a bare yield
    'scope': ('body',),             # id, deadline (relative, or None), shield
    'timeout': ('body',),           # id, delay, shield, how: "timeout" or "wait_for"
    'shielded': ('body',),          # how: "scope" or "shield", which is asyncio.shield(coroutine)
    'group': ('body',),             # id
    'spawn': ('body',),             # id, group
    'cancel': (),                   # of: a scope, timeout or group
    'deadline': (),                 # of, after: relative to now, may be negative, or None
    'shield': (),                   # of, value
    'cancel_task': (),              # of
    'read': (),                     # of: what cancel_called and cancelled_caught are
    'effective': (),                # what current_effective_deadline() is
    'set': (),                      # event
    'wait': (),                     # event
    'lock': ('body',),              # id, of a lock or a semaphore
    'condition': (),                # id, what: "wait" or "notify"
    'put': (),                      # queue
    'get': (),                      # queue
    'try': ('body', 'handler'),     # catch: "cancelled", "error", "any"; then: "swallow", "reraise", "replace", "group"
    'finally': ('body', 'handler'),
    'retry': ('body',),             # times: goes on after that many cancellations
    'star': ('body', 'handler'),    # error: except* of it
    'raise': (),                    # error
    # Asyncio only:
    'uncancel': (),                 # of: a task, or "self"
    'await': (),                    # of: a list of tasks; how: "await" (only the first), "gather", "wait" or "shield"
}
ASYNCIO_ONLY = 'uncancel', 'await'
ERRORS = 'E1', 'E2', 'E3'
UNIT = 1 / 8


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

# What a value of a statement may be replaced by as it is made smaller; the first that will do.
# Times: see simpler().
_SIMPLER = {
    'shield': [False], 'how': ['scope', 'timeout'], 'then': ['swallow', 'reraise'], 'catch': ['cancelled', 'any'],
    'times': [1], 'error': ['E1', 'Exception'], 'deadline': [None], 'delay': [None], 'after': [None, 0],
    'event': ['e1'],
}
_TIMES = 'd', 'deadline', 'delay', 'after'


def simpler(op, key, value):
    """What to try in place of a value of a statement, the simplest first."""
    if key == 'shield' and op == 'shield':
        return []
    values = _SIMPLER.get(key, [])
    if key == 'how':
        values = values[:1] if op == 'shielded' else values[1:]
    if value in values:
        return values[:values.index(value)]
    if key in _TIMES and value:
        values = values + [whole for whole in range(1, 6) if whole < value or value != int(value)]
    return values


# Printing.

def show(program):
    """The program as readable pseudo code."""
    return '\n'.join(_show_block(program['main'], 'main:', 0))


def _show_block(block, head, depth):
    lines = ['    ' * depth + head]
    for statement in block:
        lines += _show(statement, depth + 1)
    if not block:
        lines.append('    ' * (depth + 1) + 'pass')
    return lines


def _show(statement, depth):
    op = statement['op']
    if op in ('try', 'star', 'finally'):
        lines = _show_block(statement['body'], 'try:', depth)
        if op == 'finally':
            return lines + _show_block(statement['handler'], 'finally:', depth)
        if op == 'star':
            return lines + _show_block(statement['handler'], f"except* {statement['error']}:", depth)
        caught = {'cancelled': 'Cancelled', 'error': 'Exception', 'any': 'BaseException'}[statement['catch']]
        lines += _show_block(statement['handler'], f'except {caught} as exc:', depth)
        if then := {'reraise': 'raise', 'replace': 'raise E3()',
                    'group': "raise BaseExceptionGroup('', [exc, E3()])"}.get(statement['then']):
            lines.append('    ' * (depth + 1) + then)
        return lines
    if 'body' in statement:
        return _show_block(statement['body'], _head(statement) + ':', depth)
    return ['    ' * depth + _head(statement)]


def _head(statement):
    s = statement
    shielded = ', shield' if s.get('shield') else ''
    match s['op']:
        case 'sleep':
            return f"sleep {s['d']}"
        case 'scope':
            return f"with scope {s['id']} (deadline {_after(s['deadline'])}{shielded})"
        case 'timeout':
            return f"{s['how']} {s['id']} ({_after(s['delay'])}{shielded})"
        case 'shielded':
            return 'with scope (shield)' if s['how'] == 'scope' else 'await shield()'
        case 'group':
            return f"with group {s['id']}"
        case 'spawn':
            return f"spawn {s['id']} into {s['group']}"
        case 'deadline':
            return f"{s['of']}.deadline = {_after(s['after'])}"
        case 'shield':
            return f"{s['of']}.shield = {s['value']}"
        case 'set' | 'wait':
            return f"{s['op']} {s['event']}"
        case 'lock':
            return f"with {'lock' if s['id'][0] == 'k' else 'semaphore'} {s['id']}"
        case 'put' | 'get' as op:
            return f"{op} {s['queue']}"
        case 'condition':
            return f"with condition {s['id']}: {s['what']}"
        case 'retry':
            return f"retry at most {s['times']} times if cancelled"
        case 'raise':
            return f"raise {s['error']}()"
        case 'await':
            return f"{s['how']} {' '.join(s['of'])}"
        case 'cancel' | 'cancel_task' | 'uncancel' | 'read' as op:
            return f"{op} {s['of']}"
        case op:
            return op


def _after(seconds):
    return 'none' if seconds is None else f'now + {seconds}' if seconds >= 0 else f'now - {-seconds}'


# Generating.

# How often an op is chosen. The ones with blocks are not, once the program is deep or long enough.
_WEIGHTS = {
    'sleep': 14, 'checkpoint': 5, 'scope': 18, 'timeout': 8, 'shielded': 4, 'group': 5, 'spawn': 7, 'cancel': 9,
    'deadline': 5, 'shield': 7, 'cancel_task': 5, 'read': 2, 'effective': 2, 'set': 3, 'wait': 4, 'lock': 3, 'try': 8,
    'condition': 2, 'put': 2, 'get': 2,
    'finally': 5, 'retry': 4, 'star': 3, 'raise': 3,
}
_MAX_DEPTH = 7


def generate(rng, root=False, asyncio_only=False):
    """A random program; *root*: one with background tasks; *asyncio_only*: one that does what Trio has not, too."""
    program = _Maker(rng).program()
    if root:
        program['root'] = True
        for statement in walk(program['main']):
            if statement['op'] == 'spawn' and rng.random() < 0.4:
                statement['group'] = 'root'
    if asyncio_only:
        _add_asyncio_only(rng, program)
    return program


def _add_asyncio_only(rng, program):
    tasks = [s['id'] for s in walk(program['main']) if s['op'] == 'spawn'] or ['none']
    for statement in list(walk(program['main'])):
        for _, block in blocks(statement):
            if rng.random() < 0.4:
                of = rng.choice(['self', *tasks])
                more = [{'op': 'uncancel', 'of': of}]
                if rng.random() < 0.5:
                    more.insert(0, {'op': 'cancel_task', 'of': of})     # a pair of them
            elif rng.random() < 0.4:
                how = rng.choice(['await', 'gather', 'wait', 'shield'])
                more = [{'op': 'await', 'of': rng.choices(tasks, k=rng.choice([1, 2])), 'how': how}]
            else:
                continue
            place = rng.randint(0, len(block))
            block[place:place] = more


class _Maker:

    def __init__(self, rng):
        self.rng = rng
        self.count = {}         # of ids, by their letter
        self.last_deadline = None
        self.references = []    # (statement, key, ids around it): filled in at the end, when all ids are known
        self.interferences = []     # the blocks of those tasks, whose references are filled in last
        self.family = {}        # id of a scope -> the ids around it, and itself
        # Each program leaves some ops out, so that those it has meet more often.
        self.weights = {op: weight for op, weight in _WEIGHTS.items() if rng.random() > 0.2 or op == 'sleep'}
        self.left = rng.choice([8, 14, 20, 30, 40])

    def program(self):
        main = self.block(0, [])
        if self.rng.random() < 0.8:     # otherwise many a program has one task
            main = [self.group(main, [])]
            for _ in range(self.rng.choice([0, 1, 1, 2])):
                task = {'op': 'spawn', 'id': self.new('t'), 'group': main[0]['id'], 'body': self.interference()}
                main[0]['body'].insert(0, task)
        self.resolve(main)
        return {'main': main}

    def new(self, letter):
        self.count[letter] = self.count.get(letter, 0) + 1
        return f'{letter}{self.count[letter]}'

    def time(self):
        # From many, so that few coincide.
        return self.rng.randint(1, self.rng.choice([12, 30, 60])) * UNIT

    def deadline(self):
        chance = self.rng.random()
        if chance < 0.35:
            return None
        if chance < 0.42:
            return 0
        if chance > 0.85 and self.last_deadline:
            return self.last_deadline       # Two that expire at one time, perhaps.
        self.last_deadline = self.time()
        return self.last_deadline

    def group(self, body, around):
        """A group around a block, that has tasks."""
        group = {'op': 'group', 'id': self.new('g'), 'body': body}
        self.family[group['id']] = [*around, group['id']]
        for _ in range(self.rng.choice([1, 1, 2, 2, 3])):
            task = {'op': 'spawn', 'id': self.new('t'), 'group': group['id'],
                    'body': self.block(2, [*around, group['id']], least=2)}
            body.insert(self.rng.randint(0, min(2, len(body))), task)
        return group

    def interference(self):
        """What a task does that interferes with the others; often several things at one time."""
        block = []
        for _ in range(self.rng.randint(1, 4)):
            block.append({'op': 'sleep', 'd': self.time()})
            for _ in range(self.rng.choice([1, 1, 2, 3])):
                op = self.rng.choice(['cancel', 'cancel', 'cancel_task', 'deadline', 'shield', 'shield', 'set', 'wake'])
                if op == 'wake':
                    op = self.rng.choice(['set', 'put', 'condition'])
                block.append(self.make_plain({'op': op}, 0, []))
        self.interferences.append(block)
        return block

    def block(self, depth, around, least=1):
        length = self.rng.choice([1, 2, 2, 3, 4] if depth else [3, 4, 5])
        return [self.statement(depth, around) for _ in range(max(least, length))]

    def statement(self, depth, around):
        self.left -= 1
        ops = [op for op in self.weights if not OPS[op] or (depth < _MAX_DEPTH and self.left > 0)]
        op = self.rng.choices(ops, [self.weights[op] for op in ops])[0]
        return getattr(self, 'make_' + op, self.make_plain)({'op': op}, depth, around)

    def refer(self, statement, key, around):
        statement[key] = None
        self.references.append((statement, key, around))

    def make_plain(self, s, depth, around):
        match s['op']:
            case 'sleep':
                s['d'] = self.time()
            case 'cancel' | 'cancel_task' | 'read':
                self.refer(s, 'of', around)
            case 'deadline':
                self.refer(s, 'of', around)
                s['after'] = self.rng.choice([None, 0, -1, self.time(), self.time(), self.time()])
            case 'shield':
                self.refer(s, 'of', around)
                s['value'] = self.rng.random() < 0.45
            case 'set' | 'wait':
                s['event'] = f'e{self.rng.randint(1, 2)}'
            case 'put' | 'get':
                s['queue'] = f'q{self.rng.randint(1, 2)}'
            case 'condition':
                s |= {'id': f'c{self.rng.randint(1, 2)}', 'what': self.rng.choice(['wait', 'wait', 'notify'])}
            case 'raise':
                s['error'] = self.rng.choice(ERRORS[:2])
        return s

    def make_scope(self, s, depth, around):
        s |= {'id': self.new('s'), 'deadline': self.deadline(), 'shield': self.rng.random() < 0.35}
        return self.with_body(s, depth, around)

    def make_timeout(self, s, depth, around):
        s |= {'id': self.new('m'), 'delay': self.deadline(), 'shield': self.rng.random() < 0.25,
              'how': 'timeout'}
        if self.rng.random() < 0.25:
            s |= {'how': 'wait_for', 'delay': self.time(), 'shield': False}
        return self.with_body(s, depth, around)

    def make_shielded(self, s, depth, around):
        s['how'] = self.rng.choice(['scope', 'shield'])
        return self.with_body(s, depth, around)

    def make_group(self, s, depth, around):
        return self.group(self.block(depth + 1, [*around, f"g{self.count.get('g', 0) + 1}"]), around)

    def make_spawn(self, s, depth, around):
        s['id'] = self.new('t')
        self.refer(s, 'group', around)
        # What is around the new task is around the group, which is not known yet.
        s['body'] = self.block(depth + 1, around, least=2)
        return s

    def make_lock(self, s, depth, around):
        s['id'] = self.rng.choice(['k1', 'k2', 'v1'])
        return self.with_body(s, depth, around)

    def make_try(self, s, depth, around):
        s['catch'] = self.rng.choice(['cancelled', 'cancelled', 'cancelled', 'error', 'any'])
        s['then'] = self.rng.choice(['swallow', 'swallow', 'swallow', 'reraise', 'replace', 'group', 'group'])
        return self.with_handler(s, depth, around)

    def make_finally(self, s, depth, around):
        s = self.with_handler(s, depth, around)
        if self.rng.random() < 0.3:     # A shielded clean-up, and one that is not.
            s['handler'] = [{'op': 'shielded', 'how': self.rng.choice(['scope', 'shield']), 'body': s['handler']},
                            {'op': 'sleep', 'd': self.time()}]
        return s

    def make_star(self, s, depth, around):
        s['error'] = self.rng.choice([*ERRORS[:2], 'Exception'])
        return self.with_handler(s, depth, around)

    def make_retry(self, s, depth, around):
        s['times'] = self.rng.randint(1, 3)
        return self.with_body(s, depth, around)

    def with_body(self, s, depth, around):
        if s['op'] in ('scope', 'timeout'):
            around = self.family[s['id']] = [*around, s['id']]
        s['body'] = self.block(depth + 1, around)
        return s

    def with_handler(self, s, depth, around):
        s['body'] = self.block(depth + 1, around)
        s['handler'] = self.block(depth + 1, around)
        return s

    def resolve(self, main):
        """Let what refers to something refer to something that there is; most often to what is around it."""
        def ids(letters):
            return [f'{letter}{n + 1}' for letter in letters for n in range(self.count.get(letter, 0))]

        # What Task.cancel() does depends on what a task has open (5.1), and on who asks (5.9).
        hosts = [s['id'] for s in walk(main) if s['op'] == 'spawn' and any(
            inner['op'] in ('group', 'shielded') for inner in walk(s['body']))]
        spawners = {}
        for s in walk(main):
            if s['op'] == 'spawn':
                for inner in walk(s['body']):
                    spawners.setdefault(id(inner), []).append(s['id'])
        for statement, key, around in self.references:
            if statement['op'] == 'cancel_task':
                near = self.rng.choice([hosts, hosts, spawners.get(id(statement))]) or []
                all_of_them = ids('t')
            elif key == 'group':
                near, all_of_them = [i for i in around if i[0] == 'g'], ids('g')
            else:
                near, all_of_them = [i for i in around if i[0] in 'smg'], ids('smg')
            if key == 'group' and near and self.rng.random() < 0.8:
                statement[key] = near[-1]
            elif near and self.rng.random() < (0.8 if statement['op'] == 'cancel_task' else 0.4):
                statement[key] = self.rng.choice(near)
            else:
                statement[key] = self.rng.choice(all_of_them or ['none'])
        # Interference is at its best with scopes that are around each other.
        for block in self.interferences:
            families = [family for _, family in sorted(self.family.items()) if len(family) > 1]
            if families and self.rng.random() < 0.7:
                family = self.rng.choice(families)
                if self.rng.random() < 0.5:
                    block[:] = self.play_with_shield(family)
                else:
                    for statement in block:
                        if statement['op'] in ('cancel', 'deadline', 'shield'):
                            statement['of'] = self.rng.choice(family)

    def play_with_shield(self, family):
        """Cancel something outside while a shield inside comes and goes."""
        inside, outside = family[-1], self.rng.choice(family[:-1])
        steps = [{'op': 'shield', 'of': inside, 'value': True},
                 {'op': 'cancel', 'of': outside} if self.rng.random() < 0.7 else
                 {'op': 'deadline', 'of': outside, 'after': self.rng.choice([-1, self.time()])},
                 {'op': 'shield', 'of': inside, 'value': False},
                 {'op': 'shield', 'of': inside, 'value': True}]
        if self.rng.random() < 0.3:
            self.rng.shuffle(steps)
        block = []
        for step in steps:
            if self.rng.random() < 0.8:
                if self.rng.random() < 0.8:
                    block.append({'op': 'sleep', 'd': self.rng.randint(1, 12) * UNIT})
                block.append(step)
        return block
