// Package survival is the part inside the machine of a test of power cuts: after each the node is looked over, whole, then
// there is load until the next. The other part, which cuts the power and knows what was promised, is survival/host.
package survival

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
)

// PlanFile is what the host says to this boot of the machine.
const PlanFile = "/etc/survival/plan.json"

// TruthFile says what the registry's images are.
const TruthFile = "/etc/survival/truth.json"

// Plan of one boot.
type Plan struct {
	Boot  int    // 0 is the first, of a blank disk
	Last  bool   // no more cuts: clean up, and nothing must be left
	Seed  uint64 // of the load
	Facts Facts
}

// Facts are what the machine said it had done before the cut, and must hold after it.
type Facts struct {
	Images map[string]bool // references: pulled, and nobody began to remove them
	Ended  map[string]int  // containers that ended, and their exit codes; nobody began to remove them
}

// Prefix of the lines that are for the host. The rest is for people.
const Prefix = "survival: "

// Words of such lines.
const (
	WordBoot     = "boot"     // the program runs; serve is being started
	WordChecked  = "checked"  // all is well after the cut, TEXT
	WordLoad     = "load"     // it begins
	WordPulled   = "pulled"   // REFERENCE
	WordImported = "imported" // REFERENCE, by crisp import
	WordDropping = "dropping" // REFERENCE...: from now on they may be gone
	WordEnded    = "ended"    // ID CODE
	WordRemoving = "removing" // ID: from now on it may be gone
	WordProblem  = "problem"  // TEXT
)

var sayLock sync.Mutex

// say tells the host; when it returns, the host's end of the port has it.
func say(word, format string, args ...any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " | ")
	sayLock.Lock()
	defer sayLock.Unlock()
	_, _ = os.Stdout.WriteString(strings.TrimRight(Prefix+word+" "+text, " ") + "\n")
}

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func writeJSON(path string, from any) error {
	text, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// WritePlan lays plan below a tree that will be over the machine's root.
func WritePlan(tree string, plan Plan) error { return writeJSON(tree+PlanFile, plan) }

// WriteTruth likewise.
func WriteTruth(tree string, truth *Truth) error { return writeJSON(tree+TruthFile, truth) }
