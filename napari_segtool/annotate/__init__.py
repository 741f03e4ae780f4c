"""Pure logic of annotation."""
