package system

// Not of Kubernetes: build.sh lays this file into a copy of a package of the node tests, so that the end of each spec
// is told at once, and not by a report that is written when all have ended. Whoever listens on the unix socket
// that CRISP_REPORT names gets one JSON object a connection.

import (
	"encoding/json"
	"net"
	"os"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"k8s.io/kubernetes/test/e2e/framework"
)

// Of a failed spec's log the end is sent: it is where the failure is.
const outputMax = 200 << 10

type specNews struct {
	Name    string  `json:"name"`
	State   string  `json:"state"`
	Seconds float64 `json:"seconds"`
	Reason  string  `json:"reason,omitempty"`
	Where   string  `json:"where,omitempty"`
	Output  string  `json:"output,omitempty"`
}

func tellSpec(news specNews) {
	socket := os.Getenv("CRISP_REPORT")
	// the framework looks at its own specs first, by a dry run in each of its processes
	if config, _ := ginkgo.GinkgoConfiguration(); socket == "" || config.DryRun {
		return
	}
	c, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer c.Close()
	_ = json.NewEncoder(c).Encode(news)
}

func tail(s string) string {
	if len(s) > outputMax {
		return "…" + s[len(s)-outputMax:]
	}
	return s
}

// Reporting nodes at the top level would be lost: the framework previews its specs, for which ginkgo puts a clone of the suite in
// the place of the suite, and the clone has the top level's containers only. So each framework of a container brings
// them; where one container is in another that has one too, the same is told twice.
func init() {
	framework.NewFrameworkExtensions = append(framework.NewFrameworkExtensions, func(*framework.Framework) {
		ginkgo.ReportBeforeEach(tellStart)
		ginkgo.ReportAfterEach(tellEnd)
	})
}

func tellStart(r ginkgo.SpecReport) {
	if r.State.Is(types.SpecStateSkipped | types.SpecStatePending) {
		return // not selected
	}
	tellSpec(specNews{Name: r.FullText(), State: "started"})
}

func tellEnd(r ginkgo.SpecReport) {
	if r.State.Is(types.SpecStatePending|types.SpecStateInterrupted|types.SpecStateAborted) || r.State.Is(types.SpecStateSkipped) && r.Failure.Message == "" {
		return
	}
	news := specNews{Name: r.FullText(), State: "failed", Seconds: r.RunTime.Seconds()}
	switch {
	case r.State.Is(types.SpecStatePassed):
		news.State = "passed"
	case r.State.Is(types.SpecStateSkipped):
		news.State, news.Reason = "skipped", r.Failure.Message
	default:
		news.Reason, news.Where = r.State.String()+": "+r.Failure.Message, r.FailureLocation().String()
		news.Output = tail(r.CombinedOutput())
	}
	tellSpec(news)
}
