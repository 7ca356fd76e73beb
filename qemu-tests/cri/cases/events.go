package cases

import (
	"fmt"
	"io"
	"maps"
	"sync"
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
	{Name: "never-contradict-the-lists", Run: eventsAgree, Scale: 2},
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

// order of a container's life: what a later answer says is never earlier than what one before it has said.
var order = map[runtimeapi.ContainerState]int{runtimeapi.ContainerState_CONTAINER_CREATED: 1,
	runtimeapi.ContainerState_CONTAINER_RUNNING: 2, runtimeapi.ContainerState_CONTAINER_EXITED: 3}

// ages is what has been said of each container so far, by whichever call.
type ages struct {
	sync.Mutex
	seen  map[string]int
	wrong []string
}

func (a *ages) known() map[string]int {
	a.Lock()
	defer a.Unlock()
	return maps.Clone(a.seen)
}

// hears what an answer says that was asked for when before was known; gone: it is not in the answer, though all are asked for.
func (a *ages) hears(who, id string, age int, before map[string]int) {
	a.Lock()
	defer a.Unlock()
	if age < before[id] {
		a.wrong = append(a.wrong, fmt.Sprintf("%s says %d of %.12s after %d was said", who, age, id, before[id]))
	}
	a.seen[id] = max(a.seen[id], age)
}

const goneAge = 4

// list is told from one answer of all the pod's containers.
func (a *ages) list(who string, all []*runtimeapi.Container, before map[string]int) {
	found := map[string]bool{}
	for _, c := range all {
		a.hears(who, c.Id, order[c.State], before)
		found[c.Id] = true
	}
	for id := range before {
		if !found[id] {
			a.hears(who, id, goneAge, before)
		}
	}
}

// asks are the ways to ask; each is asked again and again.
func (a *ages) asks(t *suite.T, p *suite.Pod) []func(before map[string]int) {
	filter := &runtimeapi.ContainerFilter{PodSandboxId: p.ID}
	return []func(before map[string]int){
		func(before map[string]int) {
			r, err := t.CRI.ListContainers(t.Ctx, &runtimeapi.ListContainersRequest{Filter: filter})
			if err == nil {
				a.list("ListContainers", r.Containers, before)
			}
		},
		func(before map[string]int) { // what the kubelet's gate CRIListStreaming takes
			s, err := t.CRI.StreamContainers(t.Ctx, &runtimeapi.StreamContainersRequest{Filter: filter})
			var all []*runtimeapi.Container
			for err == nil {
				var r *runtimeapi.StreamContainersResponse
				if r, err = s.Recv(); err == nil {
					all = append(all, r.Containers...)
				}
			}
			if err == io.EOF {
				a.list("StreamContainers", all, before)
			}
		},
		func(before map[string]int) {
			for id := range before {
				r, err := t.CRI.ContainerStatus(t.Ctx, &runtimeapi.ContainerStatusRequest{ContainerId: id})
				if status.Code(err) == codes.NotFound {
					a.hears("ContainerStatus", id, goneAge, before)
				} else if err == nil {
					a.hears("ContainerStatus", id, order[r.Status.State], before)
				}
			}
		},
	}
}

// follows the events until the pod's end. They come late: what they say is compared with what they have said.
func (a *ages) follows(events chan *runtimeapi.ContainerEventResponse, pod string) {
	last := map[string]int{}
	for e := range events {
		for _, s := range e.ContainersStatuses {
			a.hears("the event "+e.ContainerEventType.String(), s.Id, order[s.State], last)
			last[s.Id] = max(last[s.Id], order[s.State])
		}
		if e.ContainerId == pod && e.ContainerEventType == stopped {
			return
		}
	}
}

// shortLives are containers that come, end and go.
func shortLives(t *suite.T, p *suite.Pod, count int) {
	for range count {
		c, err := p.TryCreate(p.ContainerConfig(suite.Payload("exit", "3")))
		if err != nil || c.TryStart() != nil {
			return
		}
		t.Until(t.Timeout, func() bool {
			r, err := t.CRI.ContainerStatus(t.Ctx, &runtimeapi.ContainerStatusRequest{ContainerId: c.ID})
			return err == nil && r.Status.State == runtimeapi.ContainerState_CONTAINER_EXITED
		})
		t.CRI.RemoveContainer(t.Ctx, &runtimeapi.RemoveContainerRequest{ContainerId: c.ID})
	}
}

// The kubelet takes lists, statuses and events together for one story: a container that ran in one answer and has not
// begun in the next would be started once more.
func eventsAgree(t *suite.T) {
	const makers, each = 3, 6
	p := t.RunPod()
	a := &ages{seen: map[string]int{}}
	events := subscribe(t)
	done := make(chan struct{})
	var watchers, workers sync.WaitGroup
	for _, ask := range a.asks(t, p) {
		watchers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					ask(a.known())
				}
			}
		})
	}
	watchers.Go(func() { a.follows(events, p.ID) })
	for range makers {
		workers.Go(func() { shortLives(t, p, each) })
	}
	workers.Wait()
	close(done)
	p.Stop()
	watchers.Wait()
	for _, wrong := range a.wrong {
		t.Errorf("%s", wrong)
	}
	suite.Equal(t, "containers that were seen", len(a.seen), makers*each)
}
