// Package outcome is what the probe inside the container and the demo outside say to each other.
package outcome

// Outcome is how an attack went.
type Outcome string

const (
	// Succeeded: the container can do it.
	Succeeded Outcome = "succeeded"
	// Blocked: the kernel refused it.
	Blocked Outcome = "blocked"
	// Unmeasured: it could not be tried, or went wrong in a way that says nothing. Never counted as blocked.
	Unmeasured Outcome = "not measurable"
)

// Result is one attack and how it went.
type Result struct {
	Name string `json:"name"`
	// Open says why runclamp leaves it possible. Empty: runclamp has to block it.
	Open    string  `json:"open,omitempty"`
	Outcome Outcome `json:"outcome"`
	// Detail is the error's name where it was blocked, the reason where it could not be measured.
	Detail string `json:"detail,omitempty"`
}
