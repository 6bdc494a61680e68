# asyncbis-python: CPython with asyncio's level cancellation, ready to run programs.
#
#     ./build.sh image                                          builds it
#     docker run asyncbis-python app.py                         runs the demo in it
#     docker run -v "$PWD:/app" asyncbis-python app.py          runs your own app.py
#
# Plain Dockerfile syntax, so that both the classic builder and BuildKit can build it.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS builder
WORKDIR /asyncbis
COPY build.sh upstream.conf ./
COPY tools tools/
COPY patches patches/
COPY Lib Lib/
COPY Modules Modules/
# Patches name these in a trailer `Adds:`; nothing is built from them.
COPY Doc Doc/
COPY Misc Misc/
COPY anyio_backend anyio_backend/
COPY stubs stubs/
# The tarball, if the context has one, goes where build.sh looks first: its cache.  (upstream.conf is there
# because a COPY with nothing to copy is an error.)
COPY upstream.conf build/image/*.tar.xz /root/.cache/asyncbis/
ARG VARIANT=pgo
RUN ./build.sh build --variant "${VARIANT}"

# Of the test suite only what runs test_asyncio is installed, and .pyc files are made for no more than they must
# be (-l: no subfolders), because none stay.
RUN set -eu; \
    make -s -C "build/${VARIANT}" install DESTDIR=/runtime COMPILEALL_OPTS='-q -l' \
        TESTSUBDIRS='test test/libregrtest test/support test/support/_hypothesis_stubs test/certdata test/certdata/capath test/test_asyncio'; \
    cd /runtime/usr/local; \
    find lib/python3.*/test -mindepth 1 -maxdepth 1 -type f \
        ! -name __init__.py ! -name __main__.py ! -name regrtest.py -delete; \
    cd lib/python3.*/lib-dynload; \
    rm -f _ctypes_test.* _testbuffer.* _testclinic*.* _testimportmultiple.* _testmultiphase.* _testsinglephase.* \
        _xxtestfuzz.* xxlimited*.* xxsubtype.*; \
    cd /runtime/usr/local; \
    find . -name __pycache__ -prune -exec rm -r '{}' +; \
    find . -name '*.a' -delete; \
    find . -type f \( -name '*.so' -o -path './bin/python3.*[0-9]' \) -exec strip --strip-unneeded '{}' +; \
    ln -s python3 bin/python; \
    cd /asyncbis; \
    python3 -m tools.wheel /runtime/usr/local/lib/python3.*[0-9]

# The packages that own the shared libraries which the interpreter and its extension modules are linked with:
# asked of the linker and of dpkg, so that they are right on every BASE.
RUN set -eu; \
    find /runtime/usr/local -type f \( -name '*.so' -o -path '*/bin/python3.*[0-9]' \) -exec ldd '{}' + \
        | awk '$2 == "=>" && $3 ~ /^\// { sub("^/(usr/)?", "", $3); print "*/" $3 }' | sort -u \
        | xargs dpkg-query --search | cut -d: -f1 | sort -u > /runtime/packages; \
    grep -q '^libssl' /runtime/packages

FROM ${BASE}
COPY --from=builder /runtime/packages /usr/local/share/asyncbis/packages
RUN set -eu; \
    apt-get update; \
    DEBIAN_FRONTEND=noninteractive xargs apt-get install --yes --no-install-recommends \
        ca-certificates netbase tzdata < /usr/local/share/asyncbis/packages; \
    apt-get clean; \
    rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log; \
    useradd --create-home --uid 1000 app; \
    install -d -o app -g app /app
COPY --from=builder /runtime/usr/local /usr/local
# What pip installs for this user goes to its home; that is where its programs are found.
ENV PATH=/home/app/.local/bin:$PATH
USER app
WORKDIR /app
COPY --chown=app:app examples/hello.py app.py
# An image that lacks a part is not finished.  (-B: nothing that runs here leaves a cache behind.)
RUN set -eu; \
    python3 -B -c 'import bz2, compression.zstd, ctypes, curses, dbm.gnu, lzma, readline, sqlite3, uuid, zlib'; \
    python3 -B -c 'import ssl; assert ssl.create_default_context().get_ca_certs()'; \
    python3 -B -c 'import asyncbis_anyio, sys; assert asyncbis_anyio._hook in sys.path_hooks'; \
    python3 -B -c 'import asyncbis_stubs'; \
    PYTHONDONTWRITEBYTECODE=1 pip3 --version; \
    python3 -B app.py
ENTRYPOINT ["python3"]
