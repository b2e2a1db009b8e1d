"""Underwrite eight small businesses from 68 PDF files: fail, repair, go on from the failed steps.

python docs/examples/underwriting/run.py
"""

from __future__ import annotations

if __name__ == "__main__":
    # Imported here, because every worker process imports this file too, and needs nothing of what makes the PDFs.
    from story import main

    main()
