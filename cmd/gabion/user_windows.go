package main

// checkUser leaves users to Windows.
func checkUser(string) error { return nil }
