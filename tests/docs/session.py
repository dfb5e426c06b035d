"""A Python session that pages of the documentation type into: run as a program, in the folder of the page.

Each line of its input is a JSON object with the text of one block; it answers with one line of JSON for each. Names
stay from block to block, as they do for somebody who types them.
"""

from __future__ import annotations

import doctest
import json
import sys

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def main() -> None:
    """Answer until the input ends."""
    sys.path.insert(0, "")
    answers = sys.stdout
    # In a real session these are the names of the main module; what is pickled or registered looks for them there.
    names = vars(sys.modules["__main__"])
    for line in sys.stdin:
        asked = json.loads(line)
        said: list[str] = []
        test = doctest.DocTestParser().get_doctest(asked["text"], names, asked["name"], asked["name"], asked["line"])
        runner = doctest.DocTestRunner(optionflags=OPTIONS)
        results = runner.run(test, out=said.append, clear_globs=False)
        names.update(test.globs)
        answer = {"tried": results.attempted, "failed": results.failed, "said": "".join(said)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
