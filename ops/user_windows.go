package ops

// CheckUser leaves users to Windows.
func CheckUser(string) error { return nil }
