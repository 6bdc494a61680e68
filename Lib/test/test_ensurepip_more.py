"""What ensurepip installs besides pip: the wheels that come with the interpreter."""

import ensurepip
import os
import pathlib
import tempfile
import unittest
import unittest.mock


class MoreWheelsTests(unittest.TestCase):

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.library = pathlib.Path(temporary.name)
        # bootstrap() changes the environment.
        for patch in (
                unittest.mock.patch.object(ensurepip.sysconfig, 'get_path',
                                           return_value=temporary.name),
                unittest.mock.patch.dict(os.environ),
                unittest.mock.patch.object(ensurepip, '_run_pip')):
            self.run_pip = patch.start()
            self.addCleanup(patch.stop)

    def installed(self):
        ensurepip.bootstrap()
        arguments, _ = self.run_pip.call_args[0]
        return arguments[arguments.index('pip'):]

    def test_none(self):
        self.assertEqual(self.installed(), ['pip'])

    def test_some(self):
        folder = self.library / 'ensurepip-more'
        folder.mkdir()
        for name in 'spam-1-py3-none-any.whl', 'notes.txt':
            (folder / name).touch()
        self.assertEqual(self.installed(),
                         ['pip', str(folder / 'spam-1-py3-none-any.whl')])


if __name__ == '__main__':
    unittest.main()
