package enforce_test

import (
	"testing"

	"runclamp/enforce/policy"
)

// hardened is what the built-in preset says.
func hardened(t testing.TB) policy.Controls {
	t.Helper()
	f, err := policy.Default()
	if err != nil {
		t.Fatal(err)
	}
	return f.Base
}
