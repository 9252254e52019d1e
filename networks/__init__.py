"""Everything with weights or standing in for it, behind small interfaces."""
