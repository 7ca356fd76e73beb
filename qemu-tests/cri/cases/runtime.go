package cases

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	cri "k8s.io/cri-client/pkg"

	"google.golang.org/grpc"

	"crisp.dev/qemu-tests/cri/suite"
)

var runtimeCases = []suite.Case{
	{Name: "version", Run: version},
	{Name: "status-conditions", Run: statusConditions},
	{Name: "status-handlers", Run: statusHandlers, CrispOnly: "handlers with features came with containerd 2"},
	{Name: "runtime-config", Run: runtimeConfig, CrispOnly: "came with containerd 2"},
	{Name: "update-runtime-config", Run: updateRuntimeConfig},
	{Name: "unknown-method", Run: unknownMethod},
	{Name: "every-rpc-answers", Run: everyRPCAnswers},
	{Name: "empty-ids-touch-nothing", Run: emptyIDs},
	{Name: "unimplemented-list", Run: unimplementedList, CrispOnly: "which RPCs there are depends on the version"},
	{Name: "damaged-message", Run: damagedMessage, CrispOnly: "older protobuf took text that is no UTF-8"},
	{Name: "message-too-large", Run: messageTooLarge},
	{Name: "cancelled-call", Run: cancelledCall},
	{Name: "parallel-calls", Run: parallelCalls},
	{Name: "stats-of-a-container", Run: containerStats},
	{Name: "kubelets-client", Run: kubeletsClient},
}

func version(t *suite.T) {
	r, err := t.CRI.Version(t.Ctx, &runtimeapi.VersionRequest{Version: "v1"})
	t.Must(err, "Version")
	suite.Equal(t, "version", r.Version, "0.1.0")
	suite.Equal(t, "runtime name", r.RuntimeName, t.Options.Runtime)
	suite.Equal(t, "API version", r.RuntimeApiVersion, "v1")
	if r.RuntimeVersion == "" {
		t.Errorf("no runtime version: the kubelet does not start")
	}
}

func statusConditions(t *suite.T) {
	r, err := t.CRI.Status(t.Ctx, &runtimeapi.StatusRequest{Verbose: true})
	t.Must(err, "Status")
	if len(r.Info) == 0 {
		t.Errorf("the verbose status says no more than the other")
	}
	conditions := map[string]*runtimeapi.RuntimeCondition{}
	for _, c := range r.GetStatus().GetConditions() {
		conditions[c.Type] = c
	}
	for _, name := range []string{runtimeapi.RuntimeReady, runtimeapi.NetworkReady} {
		c := conditions[name]
		if c == nil {
			t.Fatalf("no condition %s", name)
		}
		if !c.Status {
			t.Errorf("%s is false: %s: %s", name, c.Reason, c.Message)
		}
	}
}

func statusHandlers(t *suite.T) {
	r, err := t.CRI.Status(t.Ctx, &runtimeapi.StatusRequest{})
	t.Must(err, "Status")
	if len(r.RuntimeHandlers) == 0 || r.RuntimeHandlers[0].Name != "" {
		t.Fatalf("the first handler is not the default one: %v", r.RuntimeHandlers)
	}
	suite.Equal(t, "words that nobody asked for", len(r.Info), 0)
	if !r.RuntimeHandlers[0].GetFeatures().GetRecursiveReadOnlyMounts() {
		t.Errorf("the default handler lacks recursive read-only mounts")
	}
	if !r.GetFeatures().GetSupplementalGroupsPolicy() {
		t.Errorf("no supplemental groups policy: the kubelet refuses pods with Strict")
	}
}

func runtimeConfig(t *suite.T) {
	r, err := t.CRI.RuntimeConfig(t.Ctx, &runtimeapi.RuntimeConfigRequest{})
	t.Must(err, "RuntimeConfig")
	if r.Linux == nil {
		t.Fatalf("no Linux part")
	}
	driver := runtimeapi.CgroupDriver_CGROUPFS
	if t.Systemd() {
		driver = runtimeapi.CgroupDriver_SYSTEMD
	}
	suite.Equal(t, "cgroup driver", r.Linux.CgroupDriver, driver)
}

func updateRuntimeConfig(t *suite.T) {
	_, err := t.CRI.UpdateRuntimeConfig(t.Ctx, &runtimeapi.UpdateRuntimeConfigRequest{
		RuntimeConfig: &runtimeapi.RuntimeConfig{NetworkConfig: &runtimeapi.NetworkConfig{PodCidr: "10.88.0.0/16"}}})
	t.Must(err, "UpdateRuntimeConfig")
	_, err = t.CRI.UpdateRuntimeConfig(t.Ctx, &runtimeapi.UpdateRuntimeConfigRequest{})
	t.Must(err, "UpdateRuntimeConfig without a configuration")
}

func unknownMethod(t *suite.T) {
	methods := []string{"/runtime.v1.RuntimeService/NoSuchThing", "/runtime.v1.NoService/Version"}
	if t.Crisp() {
		methods = append(methods, "/runtime.v1alpha2.RuntimeService/Version")
	}
	for _, method := range methods {
		err := t.Conn.Invoke(t.Ctx, method, &runtimeapi.VersionRequest{}, &runtimeapi.VersionResponse{})
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: %v, wanted Unimplemented", method, err)
		}
	}
}

type rpc struct {
	method string
	desc   protoreflect.MethodDescriptor
}

// Every method of both services, from the descriptors of cri-api.
func rpcs(t *suite.T) []rpc {
	var all []rpc
	for _, name := range []protoreflect.FullName{"runtime.v1.RuntimeService", "runtime.v1.ImageService"} {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
		t.Must(err, "%s", name)
		methods := d.(protoreflect.ServiceDescriptor).Methods()
		for i := 0; i < methods.Len(); i++ {
			all = append(all, rpc{fmt.Sprintf("/%s/%s", name, methods.Get(i).Name()), methods.Get(i)})
		}
	}
	return all
}

// call sends one message and takes one answer; a stream that stays open is an answer too.
func call(ctx context.Context, t *suite.T, m rpc, in proto.Message) error {
	out := dynamicpb.NewMessage(m.desc.Output())
	if !m.desc.IsStreamingServer() {
		return t.Conn.Invoke(ctx, m.method, in, out)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	s, err := t.Conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, m.method)
	if err != nil {
		return err
	}
	if err := s.SendMsg(in); err != nil {
		return err
	}
	s.CloseSend()
	err = s.RecvMsg(out)
	if err != nil && (err.Error() == "EOF" || ctx.Err() != nil) {
		return nil
	}
	return err
}

func everyRPCAnswers(t *suite.T) {
	all := rpcs(t)
	suite.Equal(t, "RPCs of cri-api", len(all), 43)
	for _, m := range all {
		ctx, cancel := t.Deadline(20 * time.Second)
		err := call(ctx, t, m, dynamicpb.NewMessage(m.desc.Input()))
		cancel()
		s := status.Convert(err)
		t.Logf("%s: %s %s", m.method, s.Code(), s.Message())
		switch s.Code() {
		case codes.OK, codes.InvalidArgument, codes.NotFound, codes.Unimplemented:
		case codes.Unknown, codes.FailedPrecondition: // containerd's way to say many things
			if t.Crisp() {
				t.Errorf("%s with an empty request: %v", m.method, err)
			}
		default:
			t.Errorf("%s with an empty request: %v", m.method, err)
		}
		if err != nil && s.Message() == "" {
			t.Errorf("%s: an error without words: %v", m.method, err)
		}
	}
}

// What the first stage of crisp may leave out: of the kubelet's defaults nothing calls them, or it lives with the answer.
var laterRPCs = map[string]bool{"StreamPodSandboxes": true, "StreamContainers": true, "StreamContainerStats": true,
	"PodSandboxStats": true, "ListPodSandboxStats": true, "StreamPodSandboxStats": true, "CheckpointContainer": true,
	"CheckpointPod": true, "RestorePod": true, "GetContainerEvents": true, "ListMetricDescriptors": true,
	"ListPodSandboxMetrics": true, "StreamPodSandboxMetrics": true, "UpdatePodSandboxResources": true,
	"StreamImages": true}

func unimplementedList(t *suite.T) {
	for _, m := range rpcs(t) {
		ctx, cancel := t.Deadline(20 * time.Second)
		err := call(ctx, t, m, dynamicpb.NewMessage(m.desc.Input()))
		cancel()
		if status.Code(err) == codes.Unimplemented && !laterRPCs[string(m.desc.Name())] {
			t.Errorf("%s: %v", m.method, err)
		}
	}
}

// "" is no ID of anything: least of all a prefix of all.
func emptyIDs(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	for _, m := range rpcs(t) {
		name := string(m.desc.Name())
		if strings.HasPrefix(name, "Stop") || strings.HasPrefix(name, "Remove") || name == "ReopenContainerLog" {
			ctx, cancel := t.Deadline(20 * time.Second)
			call(ctx, t, m, dynamicpb.NewMessage(m.desc.Input()))
			cancel()
		}
	}
	suite.Equal(t, "pod", p.Status().State, runtimeapi.PodSandboxState_SANDBOX_READY)
	suite.Equal(t, "container", c.Status().State, runtimeapi.ContainerState_CONTAINER_RUNNING)
	images, err := t.Images.ListImages(t.Ctx, &runtimeapi.ListImagesRequest{})
	t.Must(err, "ListImages")
	if len(images.Images) == 0 {
		t.Errorf("RemoveImage of \"\" removed images")
	}
}

// raw sends bytes that are no message.
type raw struct{ bytes []byte }

type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) {
	return v.(*raw).bytes, nil
}

func (rawCodec) Unmarshal(data []byte, v any) error {
	v.(*raw).bytes = append([]byte(nil), data...)
	return nil
}

func (rawCodec) Name() string { return "proto" }

func damagedMessage(t *suite.T) {
	for _, m := range []struct {
		name  string
		bytes []byte
	}{
		{"a field cut short", []byte{0x0a, 0x7f, 'x'}},
		{"a length past the end", []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}},
		{"a group that never ends", []byte{0x0b}},
		{"no UTF-8", []byte{0x0a, 0x02, 0xff, 0xfe}},
		{"a tag without an end", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}},
	} {
		err := t.Conn.Invoke(t.Ctx, "/runtime.v1.RuntimeService/StopPodSandbox", &raw{m.bytes}, &raw{},
			grpc.ForceCodec(rawCodec{}))
		switch status.Code(err) {
		case codes.InvalidArgument, codes.Internal, codes.Unknown:
		default:
			t.Errorf("%s: %v", m.name, err)
		}
		t.Logf("%s: %v", m.name, err)
	}
	version(t)
}

func messageTooLarge(t *suite.T) {
	config := t.PodConfig()
	config.Annotations["large"] = strings.Repeat("x", 17<<20)
	_, err := t.CRI.RunPodSandbox(t.Ctx, &runtimeapi.RunPodSandboxRequest{Config: config})
	t.WantError(err, codes.ResourceExhausted, "large|limit|exceed|MiB|bytes")
	version(t)
}

func cancelledCall(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	ctx, cancel := t.Deadline(time.Second)
	defer cancel()
	_, err := t.CRI.ExecSync(ctx, &runtimeapi.ExecSyncRequest{ContainerId: c.ID,
		Cmd: suite.PayloadCommand("sleep", "3000")})
	if err == nil {
		t.Errorf("a call that outlives its caller answered")
	}
	version(t)
}

func parallelCalls(t *suite.T) {
	const callers, each = 40, 25
	errs := make(chan error, callers)
	for i := 0; i < callers; i++ {
		go func() {
			for k := 0; k < each; k++ {
				var err error
				switch k % 3 {
				case 0:
					_, err = t.CRI.Version(t.Ctx, &runtimeapi.VersionRequest{})
				case 1:
					_, err = t.CRI.ListContainers(t.Ctx, &runtimeapi.ListContainersRequest{})
				default:
					_, err = t.Images.ListImages(t.Ctx, &runtimeapi.ListImagesRequest{})
				}
				if err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for i := 0; i < callers; i++ {
		if err := <-errs; err != nil {
			t.Errorf("%v", err)
		}
	}
}

func containerStats(t *suite.T) {
	p := t.RunPod()
	c := p.Run(suite.Payload("eat", "32"))
	c.WaitText("eaten")
	c.Exec("fill", "/tmp/filled", "4")
	var s *runtimeapi.ContainerStats
	enough := func() bool {
		r, err := t.CRI.ContainerStats(t.Ctx, &runtimeapi.ContainerStatsRequest{ContainerId: c.ID})
		t.Must(err, "ContainerStats")
		s = r.Stats
		return s.GetWritableLayer().GetUsedBytes().GetValue() >= 4<<20
	}
	if !t.Until(90*time.Second, enough) { // containerd counts every ten seconds
		t.Errorf("4 MiB were written, the stats say %d", s.GetWritableLayer().GetUsedBytes().GetValue())
	}
	suite.Equal(t, "ID", s.GetAttributes().GetId(), c.ID)
	suite.Equal(t, "name", s.GetAttributes().GetMetadata().GetName(), c.Config.Metadata.Name)
	suite.Equal(t, "label", s.GetAttributes().GetLabels()["critests"], "yes")
	if s.GetCpu().GetUsageCoreNanoSeconds().GetValue() == 0 || s.GetCpu().GetTimestamp() == 0 {
		t.Errorf("no processor time: %v", s.Cpu)
	}
	if set := s.GetMemory().GetWorkingSetBytes().GetValue(); set < 32<<20 || set > 256<<20 {
		t.Errorf("working set of %d bytes; 32 MiB are in use", set)
	}
	list, err := t.CRI.ListContainerStats(t.Ctx, &runtimeapi.ListContainerStatsRequest{
		Filter: &runtimeapi.ContainerStatsFilter{PodSandboxId: p.ID}})
	t.Must(err, "ListContainerStats")
	if len(list.Stats) != 1 || list.Stats[0].Attributes.Id != c.ID {
		t.Errorf("stats of the pod's containers: %d of them", len(list.Stats))
	}
	c.Stop(0)
	_, err = t.CRI.ListContainerStats(t.Ctx, &runtimeapi.ListContainerStatsRequest{})
	t.Must(err, "ListContainerStats when one has ended")
	if _, err := t.CRI.ContainerStats(t.Ctx, &runtimeapi.ContainerStatsRequest{ContainerId: "no-such"}); err == nil {
		t.Errorf("stats of a container that is not there")
	}
}

// The client that the kubelet is built with: it refuses answers that lack what the kubelet needs.
func kubeletsClient(t *suite.T) {
	client, err := cri.NewRemoteRuntimeServiceBuilder().WithEndpoint(t.Endpoint).
		WithConnectionTimeout(10 * time.Second).Build(t.Ctx)
	t.Must(err, "connect")
	defer client.Close(t.Ctx)
	p := t.RunPod()
	c := p.Run()
	_, err = client.Status(t.Ctx, false)
	t.Must(err, "Status")
	_, err = client.PodSandboxStatus(t.Ctx, p.ID, false)
	t.Must(err, "PodSandboxStatus")
	_, err = client.ContainerStatus(t.Ctx, c.ID, false)
	t.Must(err, "ContainerStatus")
	stdout, stderr, err := client.ExecSync(t.Ctx, c.ID, suite.PayloadCommand("say", "one", "two"), 10*time.Second)
	t.Must(err, "ExecSync")
	suite.Equal(t, "output", string(stdout)+" "+string(stderr), "one two")
	images, err := cri.NewRemoteImageServiceBuilder().WithEndpoint(t.Endpoint).
		WithConnectionTimeout(10 * time.Second).Build(t.Ctx)
	t.Must(err, "connect")
	defer images.Close(t.Ctx)
	s, err := images.ImageStatus(t.Ctx, &runtimeapi.ImageSpec{Image: t.Base}, false)
	t.Must(err, "ImageStatus")
	if s.Image == nil {
		t.Errorf("the base image is not there")
	}
	_, err = images.ImageFsInfo(t.Ctx)
	t.Must(err, "ImageFsInfo")
}
