r"""Ways to put an answer into a completion. `%s` stands for the answer."""

from __future__ import annotations

TEXT = (
    *("%s", "The answer is %s.", "So the answer is %s", "x = %s", "**%s**", "`%s`", "Answer: %s", "#### %s", "(%s)"),
    *("First 3, then 4. Hence %s.", "Step 1: 2 + 3 = 5.\nStep 2: it is %s.", "It is %s\r\n", "\r\n%s\r\n", "= %s"),
    *(
        "<answer>%s</answer>",
        "Draft 7. <answer> %s </answer>",
        "<answer>\r\n%s\r\n</answer>",
        "答案是%s。",
        "答えは%sです",
    ),
    *("คำตอบคือ %s", "정답은 %s 입니다", "<think>It may be 77.</think>\n%s", "It is %s, I think.", "**Answer:** %s"),
    *("3 + 4 → %s", "<b>%s</b>", "* %s", "It costs $%s.", "That makes \u201c%s\u201d."),
)
MATH = (
    *(r"\boxed{%s}", r"$\boxed{%s}$", r"The answer is $\boxed{ %s }$.", r"\[ \boxed{%s} \]", r"\(\boxed{%s}\)", "$%s$"),
    *(r"\boxed{\text{%s}}", r"\boxed{x = %s}", r"\boxed{$%s$}", r"so \(%s\)", r"\[ x = %s \]", r"$x=%s$", r"\fbox{%s}"),
    *(
        r"\boxed{\left(%s\right)}",
        r"<answer>$%s$</answer>",
        r"<answer>\boxed{%s}</answer>",
        r"\boxed{\displaystyle %s}",
    ),
    *(r"\boxed{7} no, \boxed{%s}", "\\boxed{%s}\r\n", r"<think>\boxed{77}</think>\boxed{%s}", r"\boxed{%s.}", "$$%s$$"),
    *(r"It follows that $y \approx %s$.", r"3 + 4 \Rightarrow %s", r"\boxed{\mathbf{%s}}", r"\boxed{\mathrm{%s}}"),
)
UNITS = ("%s cm", "%s km/h", "%s m²", "%s m^2", "%s apples", "%s dollars", "%s years old", "%s g")
MATH_UNITS = (r"%s\text{ cm}", r"%s\,\mathrm{m}", r"%s\text{ km/h}", r"%s\ \text{cm}^2", r"%s \text{ apples}")
