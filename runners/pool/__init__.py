"""The process pool's parts; the README in the folder above tells the story.

In short::

    consumer's thread                            worker process
    ─────────────────                            ──────────────
    feed ─▶ chunk ─▶ wire.pack ══ socket ══▶ unpack ─▶ func(value), one by one
    yield ◀─ batch ◀─ wire.unpack ◀══ socket ══ pack ◀─┘
         └── reads ◀─────── 64-byte slot ◀────── writes: which input, since when, what limit

``loop`` is the parent's one loop. ``worker`` is the other side. ``wire``, ``arena`` and ``slot`` are what both speak;
``records`` is a failure as plain data. ``feed``, ``pace`` and ``blame`` are decisions without processes in them.
``member`` is one worker seen from the parent, ``launch`` starts its process, ``team`` holds the workers of a stream.
"""
