"""Working images changed by people: a face covered in the editor, a margin cut off by the refining team."""
