"""image: the container image with the patched interpreter."""

import os
import shutil
import subprocess

from tools import source
from tools import ui
from tools import variants

TAG = 'asyncbis-python'
# A sanitizer needs its own libraries at run time, and its reports are meant for the developers of the interpreter; so are
# the counts of coverage.
VARIANTS = tuple(name for name, variant in variants.VARIANTS.items()
                 if variant.patched and not variant.environment and not variant.make)


def build(project, *, base=None, variant=None, source_file=None, offline=False):
    """Build the image from the Dockerfile.

    Args:
        project: the Project.
        base: the image to start from; the Dockerfile's default if None.
        variant: the variant that goes into it; the Dockerfile's default if None.
        source_file: see source.Finder, as is offline.
    """
    if variant is not None and variant not in VARIANTS:
        raise ui.UserError(f'there is no image of a variant {variant}. There are: {", ".join(VARIANTS)}')
    if not shutil.which('docker'):
        raise ui.UserError('there is no `docker` on PATH.\n'
                           '  Install it (on Debian and Ubuntu: apt-get install docker.io), and run it again.')
    engine = subprocess.run(['docker', 'version', '--format', '{{.Server.Version}}'], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, check=False)
    if engine.returncode:
        raise ui.UserError(f'the Docker engine does not answer: {" ".join(engine.stderr.split())}\n'
                           '  Start it (systemctl start docker), or get the right to use it (the group docker).')
    _offer_tarball(project, source.Finder(project.upstream, source=source_file, offline=offline).find())
    command = ['docker', 'build', '--tag', TAG]
    for name, value in (('BASE', base), ('VARIANT', variant)):
        if value is not None:
            command += ['--build-arg', f'{name}={value}']
    ui.run_logged(f'building the image {TAG}', [*command, '.'], log=project.logs / 'image.log', cwd=project.root,
                  hint='If a package or the base image could not be fetched, check the network of the engine.')
    ui.say(f'try it: docker run {TAG} app.py')


def _offer_tarball(project, tarball):
    """Put the tarball where the Dockerfile takes it from, so that it is not fetched once more in there."""
    folder = project.build / 'image'
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    target = folder / project.upstream.tarball
    try:
        os.link(tarball, target)
    except OSError:  # another file system
        shutil.copyfile(tarball, target)
