"""Tests of Handle, and of call_soon() as futures and tasks call it."""

import asyncio
import collections
import contextvars
import copy
import gc
import sys
import unittest
import weakref
from asyncio import base_events, events
from unittest import mock

from test.test_asyncio.scope_utils import MyError


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


class HandleTests:
    """Of both implementations; Handle is the class."""

    Handle = None

    def setUp(self):
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)
        self.reports = []
        self.loop.set_exception_handler(
            lambda loop, context: self.reports.append(
                (context, sys.exception())))
        self.calls = []

    def callback(self, *args):
        self.calls.append(args)

    def test_run(self):
        handle = self.Handle(self.callback, (1, 2), self.loop)
        self.assertIsNone(handle._run())
        self.assertEqual(self.calls, [(1, 2)])
        self.assertIs(handle.cancelled(), False)
        self.assertEqual(
            (handle._callback, handle._args, handle._loop, handle._cancelled,
             handle._repr, handle._source_traceback),
            (self.callback, (1, 2), self.loop, False, None, None))

    def test_arguments_by_name(self):
        context = contextvars.Context()
        handle = self.Handle(callback=self.callback, args=(), loop=self.loop,
                             context=context)
        self.assertIs(handle.get_context(), context)
        for args in (), (self.callback, ()), (1, 2, 3, 4, 5):
            with self.assertRaises(TypeError):
                self.Handle(*args)

    def test_context(self):
        var = contextvars.ContextVar('var', default=0)
        context = contextvars.copy_context()
        seen = []

        def callback():
            seen.append(var.get())
            var.set(var.get() + 1)

        for given in context, context, None:
            self.Handle(callback, (), self.loop, given)._run()
        self.assertEqual(seen, [0, 1, 0])
        self.assertEqual(var.get(), 0)

    def test_object_with_a_method_run(self):
        context = mock.Mock()
        handle = self.Handle(self.callback, [1, 2], self.loop, context)
        handle._run()
        context.run.assert_called_once_with(self.callback, 1, 2)

    def test_context_that_is_entered_already(self):
        handle = self.Handle(self.callback, (), self.loop,
                             context := contextvars.copy_context())
        # The handler of the test cannot be called in it, either.
        with self.assertLogs('asyncio', 'ERROR') as logs:
            context.run(handle._run)
        self.assertIn('is already entered', logs.output[0])
        self.assertEqual(self.calls, [])

    def test_exception(self):
        def fail():
            raise error

        error = MyError()
        handle = self.Handle(fail, (), self.loop)
        self.assertIsNone(handle._run())
        (report, handled), = self.reports
        self.assertIs(report['exception'], error)
        self.assertIs(report['handle'], handle)
        self.assertRegex(report['message'],
                         r'^Exception in callback .*fail\(\)')
        self.assertNotIn('source_traceback', report)
        # As in an except block.
        self.assertIs(handled, error)
        self.assertIsNone(sys.exception())

    def test_exception_in_debug_mode(self):
        self.loop.set_debug(True)
        handle = self.Handle(self.callback, (1,), self.loop)
        self.assertEqual(handle._source_traceback[-1].name,
                         'test_exception_in_debug_mode')
        self.calls = None
        handle._run()
        (report, _), = self.reports
        self.assertIs(report['source_traceback'], handle._source_traceback)

    def test_exception_below_another(self):
        def fail():
            raise MyError

        handle = self.Handle(fail, (), self.loop)
        try:
            raise KeyError
        except KeyError as outer:
            handle._run()
            self.assertIs(sys.exception(), outer)
        self.assertIsInstance(self.reports[0][1], MyError)

    def test_exception_handler_that_fails(self):
        def fail():
            raise MyError

        self.loop.call_exception_handler = mock.Mock(side_effect=KeyError)
        with self.assertRaises(KeyError) as caught:
            self.Handle(fail, (), self.loop)._run()
        self.assertIsInstance(caught.exception.__context__, MyError)

    def test_interrupts(self):
        for kind in KeyboardInterrupt, SystemExit:
            with self.assertRaises(kind):
                self.Handle(mock.Mock(side_effect=kind), (), self.loop)._run()
        self.assertEqual(self.reports, [])

    def test_cancel(self):
        handle = self.Handle(self.callback, (1,), self.loop)
        self.assertIsNone(handle.cancel())
        self.assertIs(handle.cancelled(), True)
        self.assertEqual((handle._callback, handle._args, handle._repr),
                         (None, None, None))
        self.assertEqual(repr(handle), '<Handle cancelled>')
        self.assertIsNone(handle.cancel())

    def test_cancel_in_debug_mode(self):
        self.loop.set_debug(True)
        handle = self.Handle(self.callback, (1,), self.loop)
        handle.cancel()
        self.assertRegex(repr(handle),
                         r'^<Handle cancelled .*callback\(1\) created at '
                         r'.*test_handles\.py:\d+>$')
        self.assertEqual(repr(handle), handle._repr)

    def test_callback_that_cancels_its_handle(self):
        def callback():
            handle.cancel()
            raise MyError

        handle = self.Handle(callback, (), self.loop)
        handle._run()
        self.assertEqual(len(self.reports), 1)

    def test_repr(self):
        handle = self.Handle(self.callback, (1,), self.loop)
        self.assertRegex(repr(handle),
                         r'^<Handle HandleTests\.callback\(\)>$')
        self.assertEqual(handle._repr_info()[0], 'Handle')

    def test_subclass(self):
        class Mine(self.Handle):
            def cancel(self):
                super().cancel()
                self.note = 'cancelled'

            def _repr_info(self):
                return [*super()._repr_info(), 'mine']

        handle = Mine(self.callback, (1,), self.loop)
        handle.cancel()
        self.assertEqual(handle.note, 'cancelled')
        self.assertEqual(repr(handle), '<Mine cancelled mine>')

    def test_attributes_can_be_set(self):
        handle = self.Handle(None, None, self.loop)
        handle._callback, handle._args = self.callback, (3,)
        handle._run()
        self.assertEqual(self.calls, [(3,)])
        handle._cancelled = True
        self.assertIs(handle.cancelled(), True)
        with self.assertRaises(AttributeError):
            handle.other = 1

    def test_not_initialized(self):
        handle = self.Handle.__new__(self.Handle)
        for call in handle.cancelled, handle.cancel, handle.get_context:
            with self.assertRaises(AttributeError):
                call()
        with self.assertRaises(AttributeError):
            handle._run()

    def test_initialized_twice(self):
        handle = self.Handle(self.callback, (1,), self.loop)
        handle.cancel()
        handle.__init__(self.callback, (2,), self.loop)
        handle._run()
        self.assertEqual(self.calls, [(2,)])
        self.assertIs(handle.cancelled(), False)

    def test_loop_without_get_debug(self):
        with self.assertRaises(AttributeError):
            self.Handle(self.callback, (), None)
        handle = self.Handle(self.callback, (), self.loop)
        handle._loop = None
        with self.assertRaises(AttributeError):
            handle.cancel()

    def test_methods_are_replaced(self):
        # Tools do that to look at all callbacks.
        def run(handle):
            calls.append(handle)
            original(handle)

        calls = []
        original = self.Handle._run
        handle = self.Handle(self.callback, (1,), self.loop)
        with mock.patch.object(self.Handle, '_run', run):
            handle._run()
        self.assertEqual((calls, self.calls), ([handle], [(1,)]))
        with mock.patch.object(self.Handle, 'cancel') as cancel:
            handle.cancel()
        cancel.assert_called_once_with()

    def test_init_is_replaced(self):
        def init(handle, *args):
            original(handle, *args)
            made.append(handle)

        made = []
        original = self.Handle.__init__
        with mock.patch.object(self.Handle, '__init__', init):
            handle = self.Handle(self.callback, (1,), self.loop)
        self.assertEqual(made, [handle])
        self.Handle(self.callback, (1,), self.loop)
        self.assertEqual(len(made), 1)

    def test_copy(self):
        handle = self.Handle(self.callback, (1,), self.loop)
        copied = copy.copy(handle)
        copied.cancel()
        handle._run()
        self.assertEqual(self.calls, [(1,)])

    def test_run_in_a_generator(self):
        # What is handled outside of it is not handled in it, nor later.
        def run():
            handle._run()
            yield

        def fail():
            raise MyError

        handle = self.Handle(fail, (), self.loop)
        generator = run()
        try:
            raise KeyError
        except KeyError:
            next(generator)
        self.assertIsNone(sys.exception())

        def look():
            handle._run()
            yield
            yield sys.exception()

        generator = look()
        try:
            raise KeyError
        except KeyError:
            next(generator)
        self.assertIsNone(next(generator))

    def test_loop_that_raises(self):
        class Mine(asyncio.SelectorEventLoop):
            get_debug = property(mock.Mock(side_effect=KeyboardInterrupt))
            _closed = True

        loop = Mine.__new__(Mine)
        with self.assertRaises(KeyboardInterrupt):
            self.Handle(self.callback, (), loop)

    def test_get_debug_is_called_once(self):
        for loop in mock.Mock(), mock.Mock(spec=asyncio.SelectorEventLoop):
            loop.get_debug.return_value = True
            handle = self.Handle(self.callback, (), loop)
            loop.get_debug.assert_called_once_with()
            self.assertIsNotNone(handle._source_traceback)

    def test_cycle_through_the_flag(self):
        handle = self.Handle(self.callback, (), self.loop)
        reference = weakref.ref(handle)
        handle._cancelled = handle
        del handle
        gc.collect()
        self.assertIsNone(reference())

    def test_weak_reference(self):
        handle = self.Handle(self.callback, (), self.loop)
        reference = weakref.ref(handle)
        handle._callback = handle       # a cycle
        del handle
        gc.collect()
        self.assertIsNone(reference())


class PyHandleTests(HandleTests, unittest.TestCase):
    Handle = events._PyHandle


@unittest.skipUnless(hasattr(events, '_CHandle'),
                     'requires the C _asyncio module')
class CHandleTests(HandleTests, unittest.TestCase):
    Handle = getattr(events, '_CHandle', None)


class CallSoonTests(unittest.TestCase):
    """The C code asks a loop of asyncio to call something soon."""

    def setUp(self):
        self.loop = None

    def make_loop(self, loop_type=asyncio.SelectorEventLoop):
        self.loop = loop_type()
        self.addCleanup(self.loop.close)
        self.future = self.loop.create_future()
        self.future.add_done_callback(self.done)
        self.found = []
        return self.loop

    def done(self, future):
        self.found.append(future)

    def finish(self):
        self.future.set_result(None)
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def assert_called(self):
        self.assertEqual(self.found, [self.future])

    def test_ready(self):
        loop = self.make_loop()
        self.future.set_result(None)
        handle, = loop._ready
        self.assertIs(type(handle), events.Handle)
        self.assertEqual((handle._callback, handle._args, handle._loop,
                          handle._source_traceback),
                         (self.done, (self.future,), loop, None))
        self.assertIsInstance(handle.get_context(), contextvars.Context)
        loop.call_soon(loop.stop)
        loop.run_forever()
        self.assert_called()

    def test_subclass_that_replaces_a_method(self):
        for name in 'call_soon', '_call_soon', '_check_closed', 'get_debug':
            with self.subTest(name):
                def method(self, *args, **kwargs):
                    calls.append(args)
                    return getattr(super(Mine, self), name)(*args, **kwargs)

                calls = []
                Mine = type('Mine', (asyncio.SelectorEventLoop,),
                            {name: method})
                self.make_loop(Mine)
                calls.clear()
                self.future.set_result(None)
                self.assertEqual(len(calls), 1)
                self.finish_rest()

    def finish_rest(self):
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()
        self.assert_called()

    def test_subclass_with_other_methods(self):
        class Mine(asyncio.SelectorEventLoop):
            def time(self):
                return super().time()

        self.make_loop(Mine)
        self.finish()
        self.assert_called()

    def test_method_of_the_loop_is_replaced(self):
        for name in 'call_soon', '_call_soon', '_check_closed', 'get_debug':
            with self.subTest(name):
                self.make_loop()
                with mock.patch.object(
                        self.loop, name,
                        wraps=getattr(self.loop, name)) as method:
                    self.future.set_result(None)
                method.assert_called_once()
                self.finish_rest()

    def test_method_of_the_class_is_replaced(self):
        for name in 'call_soon', '_call_soon', '_check_closed':
            with self.subTest(name):
                self.make_loop()
                with mock.patch.object(
                        base_events.BaseEventLoop, name, autospec=True,
                        side_effect=getattr(base_events.BaseEventLoop,
                                            name)) as method:
                    self.future.set_result(None)
                method.assert_called_once()
                self.finish_rest()

    def test_property_of_a_subclass(self):
        # It is asked as often as by the Python code.
        for name, expected in {'call_soon': 1, '_closed': 1, '_debug': 2,
                               '_ready': 1}.items():
            with self.subTest(name):
                self.check_property(name, expected)

    def check_property(self, name, expected):
        def get(loop):
            nonlocal count
            count += 1
            if name == 'call_soon':
                return asyncio.SelectorEventLoop.call_soon.__get__(loop)
            return loop.__dict__[name]

        def set(loop, value):
            loop.__dict__[name] = value

        count = 0
        self.make_loop(type('Mine', (asyncio.SelectorEventLoop,),
                            {name: property(get, set)}))
        count = 0
        self.future.set_result(None)
        self.assertEqual(count, expected)
        self.finish_rest()

    def test_loop_goes_away_meanwhile(self):
        class Mine(asyncio.SelectorEventLoop):
            future = None
            closed = False

            @property
            def _closed(self):
                future, Mine.future = Mine.future, None
                if future is not None:
                    future.__init__(loop=other)
                return Mine.closed

            @_closed.setter
            def _closed(self, value):
                pass

        other = self.make_loop()
        loop = Mine()
        loop.close()
        future = loop.create_future()
        future.add_done_callback(self.done)
        Mine.future = future
        reference = weakref.ref(loop, lambda _: setattr(Mine, 'closed', True))
        del loop
        future.set_result(None)
        gc.collect()
        self.assertIsNone(reference())
        self.assertIs(future.get_loop(), other)

    def test_handle_is_replaced(self):
        class Mine(events.Handle):
            pass

        loop = self.make_loop()
        with mock.patch.object(events, 'Handle', Mine):
            self.future.set_result(None)
        handle, = loop._ready
        self.assertIs(type(handle), Mine)
        self.finish_rest()

    def test_queue_is_replaced(self):
        class Mine(collections.deque):
            def append(self, handle):
                appended.append(handle)
                super().append(handle)

        appended = []
        loop = self.make_loop()
        loop._ready = Mine()
        self.future.set_result(None)
        self.assertEqual(len(appended), 1)
        self.finish_rest()

    def test_attribute_is_missing(self):
        loop = self.make_loop()
        ready = loop._ready
        del loop._ready
        with self.assertRaises(AttributeError):
            self.future.set_result(None)
        loop._ready = ready

    def test_debug_mode(self):
        loop = self.make_loop()
        loop.set_debug(True)
        self.future.set_result(None)
        handle, = loop._ready
        self.assertEqual(handle._source_traceback[-1].name, 'test_debug_mode')
        self.finish_rest()

    def test_closed_loop(self):
        loop = self.make_loop()
        loop.close()
        with self.assertRaisesRegex(RuntimeError, 'Event loop is closed'):
            self.future.set_result(None)

    def test_loop_with_getattribute(self):
        class Mine(asyncio.SelectorEventLoop):
            def __getattribute__(self, name):
                names.add(name)
                return super().__getattribute__(name)

        names = set()
        self.make_loop(Mine)
        names.clear()
        self.future.set_result(None)
        self.assertIn('call_soon', names)
        self.finish_rest()

    def test_loop_that_is_none_of_asyncio(self):
        loop = mock.Mock()
        loop.get_debug.return_value = False
        future = asyncio.Future(loop=loop)
        future.add_done_callback(self.done)
        future.set_result(None)
        loop.call_soon.assert_called_once_with(self.done, future,
                                               context=mock.ANY)

    def test_order(self):
        loop = self.make_loop()
        calls = []
        futures = [loop.create_future() for _ in range(3)]
        for number, future in enumerate(futures):
            future.add_done_callback(lambda _, number=number:
                                     calls.append(number))
        loop.call_soon(calls.append, 'first')
        for future in futures:
            future.set_result(None)
        loop.call_soon(calls.append, 'last')
        loop.call_soon(loop.stop)
        loop.run_forever()
        self.assertEqual(calls, ['first', 0, 1, 2, 'last'])


if __name__ == '__main__':
    unittest.main()
