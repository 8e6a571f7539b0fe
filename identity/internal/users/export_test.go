package users

// SortKey is what names are sorted by.
func SortKey(name string) string { return sortKey(name) }
