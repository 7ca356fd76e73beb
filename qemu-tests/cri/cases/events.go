package cases

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/suite"
)

var eventCases = []suite.Case{
	{Name: "life-of-a-pod", Run: eventsLife},
	{Name: "short-lived-in-order", Run: eventsShort},
	{Name: "two-subscribers", Run: eventsTwo},
	{Name: "cancelled-and-too-many", Run: eventsMany, CrispOnly: "the limit is ours"},
}

type heard struct {
	id   string
	what runtimeapi.ContainerEventType
}

// subscribe returns what comes; with crisp the headers say that nothing is missed from here on.
func subscribe(t *suite.T) chan *runtimeapi.ContainerEventResponse {
	ctx, cancel := t.Deadline(2 * time.Minute)
	s, err := t.CRI.GetContainerEvents(ctx, &runtimeapi.GetEventsRequest{})
	t.Must(err, "GetContainerEvents")
	if t.Crisp() {
		_, err = s.Header()
		t.Must(err, "headers of GetContainerEvents")
	} else {
		time.Sleep(time.Second)
	}
	events := make(chan *runtimeapi.ContainerEventResponse, 1000)
	go func() {
		defer close(events)
		for {
			e, err := s.Recv()
			if err != nil {
				return
			}
			events <- e
		}
	}()
	t.Cleanup(func(*suite.T) { cancel() })
	return events
}

// await gathers events of these ids until the last one wanted has come.
func await(t *suite.T, events chan *runtimeapi.ContainerEventResponse, last heard, ids ...string) (all []heard, full []*runtimeapi.ContainerEventResponse) {
	limit := time.After(30 * time.Second)
	for {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatalf("the stream ended; heard %v", all)
			}
			for _, id := range ids {
				if e.ContainerId == id {
					all = append(all, heard{id, e.ContainerEventType})
					full = append(full, e)
				}
			}
			if len(all) > 0 && all[len(all)-1] == last {
				return all, full
			}
		case <-limit:
			t.Fatalf("%v did not come; heard %v", last, all)
		}
	}
}

func wantEvents(t *suite.T, id string, all []heard, want ...runtimeapi.ContainerEventType) {
	got := []runtimeapi.ContainerEventType{}
	for _, h := range all {
		if h.id == id {
			got = append(got, h.what)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%.12s: events %v, not %v", id, got, want)
		return
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%.12s: events %v, not %v", id, got, want)
			return
		}
	}
}

const (
	created = runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT
	started = runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT
	stopped = runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT
	deleted = runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT
)

// With each comes the pod's status and its containers': what the evented PLEG needs (an event without is dropped there).
func eventsLife(t *suite.T) {
	events := subscribe(t)
	p := t.RunPod()
	c := p.Run()
	c.Stop(0)
	c.Remove()
	p.Stop()
	p.Remove()
	all, full := await(t, events, heard{p.ID, deleted}, p.ID, c.ID)
	wantEvents(t, p.ID, all, created, started, stopped, deleted)
	wantEvents(t, c.ID, all, created, started, stopped, deleted)
	before := int64(0)
	for i, e := range full {
		if e.PodSandboxStatus.GetMetadata().GetUid() != p.Config.Metadata.Uid || e.PodSandboxStatus.GetId() != p.ID {
			t.Errorf("%v: pod_sandbox_status %v", all[i], e.PodSandboxStatus)
		}
		if e.CreatedAt < before || time.Since(time.Unix(0, e.CreatedAt)) > 5*time.Minute {
			t.Errorf("%v: created_at %d after %d", all[i], e.CreatedAt, before)
		}
		before = e.CreatedAt
		var state *runtimeapi.ContainerStatus
		for _, s := range e.ContainersStatuses {
			if s.Id == c.ID {
				state = s
			}
		}
		if all[i] == (heard{c.ID, started}) && state.GetState() != runtimeapi.ContainerState_CONTAINER_RUNNING {
			t.Errorf("status with STARTED: %v", state)
		}
		if all[i] == (heard{c.ID, stopped}) && (state.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED || state.GetExitCode() != 137) {
			t.Errorf("status with STOPPED: %v", state)
		}
		if all[i] == (heard{c.ID, deleted}) && state != nil && t.Crisp() {
			t.Errorf("a status of what was deleted: %v", state)
		}
		if all[i] == (heard{p.ID, stopped}) && e.PodSandboxStatus.GetState() != runtimeapi.PodSandboxState_SANDBOX_NOTREADY {
			t.Errorf("the pod's state with its STOPPED: %v", e.PodSandboxStatus.GetState())
		}
	}
}

// A program that ends at once is heard to start before it is heard to end.
func eventsShort(t *suite.T) {
	events := subscribe(t)
	p := t.RunPod()
	for range 10 {
		c := p.Run(suite.Payload("exit", "3"))
		all, _ := await(t, events, heard{c.ID, stopped}, c.ID)
		wantEvents(t, c.ID, all, created, started, stopped)
	}
}

func eventsTwo(t *suite.T) {
	a, b := subscribe(t), subscribe(t)
	p := t.RunPod()
	for _, events := range []chan *runtimeapi.ContainerEventResponse{a, b} {
		all, _ := await(t, events, heard{p.ID, started}, p.ID)
		wantEvents(t, p.ID, all, created, started)
	}
}

// Subscribers that go away give their place back.
func eventsMany(t *suite.T) {
	for range 3 {
		var cancels []func()
		ok := 0
		for range 17 {
			ctx, cancel := t.Deadline(time.Minute)
			cancels = append(cancels, cancel)
			s, err := t.CRI.GetContainerEvents(ctx, &runtimeapi.GetEventsRequest{})
			t.Must(err, "GetContainerEvents")
			h, err := s.Header()
			if err == nil && h.Get("grpc-status") == nil {
				ok++
				continue
			}
			if _, err = s.Recv(); status.Code(err) != codes.ResourceExhausted {
				t.Errorf("one too many: %v", err)
			}
		}
		for _, cancel := range cancels {
			cancel()
		}
		if ok < 14 || ok > 17 {
			t.Errorf("%d of 17 subscribers at once", ok)
		}
		time.Sleep(300 * time.Millisecond) // the cancellations are on their way
	}
	subscribe(t)
}
