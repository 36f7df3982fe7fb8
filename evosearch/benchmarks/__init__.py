"""Speed, side by side with the alternatives that a user would pick, measured in one run on one machine.

Each module measures one part; `table.PARTS` lists them. Whatever is compared is measured in turn, so that
anything else the machine does meanwhile meets both sides.
"""
