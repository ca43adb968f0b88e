"""Are stacks folded and drawn as they were seen?"""

import xml.etree.ElementTree as ElementTree

from benchmarks.flame_graph import Stacks, fold_perf_script, fold_raw, svg, tree_of

PERF = """\
headrace  1234  10.5:     5025125 cpu-clock:
\tffffffff8100 tcp_sendmsg+0x10 ([kernel.kallsyms])
\t    7f0012 __pyx_f_8headrace_4core_11log_segment_10LogSegment_slice+0x2 (/x/log_segment.so)
\t    7f0013 [unknown] (/usr/lib/libuv.so (deleted))

headrace  1234  10.6:     5025125 cpu-clock:
\t    7f0013 _PyEval_EvalFrameDefault+0x1 (/usr/bin/python3)
"""


def test_a_sample_of_perf_is_read_outermost_first_with_names_for_people() -> None:
    stacks = fold_perf_script(PERF)
    ours = "headrace.core.log_segment.LogSegment.slice"
    assert stacks == {
        ("[libuv.so (deleted)]", ours, "tcp_sendmsg_[k]"): 1,
        ("_PyEval_EvalFrameDefault",): 1,
    }


def test_raw_lines_of_py_spy_are_counted() -> None:
    assert fold_raw("run (a.py:1);main (b.py:2) 3\nrun (a.py:1) 1\n\n") == {
        ("run (a.py:1)", "main (b.py:2)"): 3,
        ("run (a.py:1)",): 1,
    }


def test_a_frame_is_as_wide_as_its_samples() -> None:
    stacks = Stacks({("a", "<b>"): 3, ("c",): 1})
    assert tree_of(stacks).inner["a"].inner["<b>"].samples == 3
    picture = ElementTree.fromstring(svg(stacks, "a & b"))
    name = "{http://www.w3.org/2000/svg}"
    widths = {}
    for group in picture.iter(f"{name}g"):
        box = group.find(f"{name}rect")
        assert box is not None
        widths[group.findtext(f"{name}title")] = float(box.get("width", 0))
    assert abs(widths["<b> 75.0 %"] - 900) < 1
    assert abs(widths["all 100.0 %"] - 1200) < 1
