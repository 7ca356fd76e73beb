package cases

import (
	"syscall"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/suite"
)

func stopTerm(t *suite.T) {
	c := t.RunPod().Run(suite.Payload("signals", "9"))
	c.WaitText("ready")
	start := time.Now()
	c.Stop(60 * time.Second)
	c.WantExit(9)
	suite.Equal(t, "log", c.Stdout(), "signals: ready\nsignal SIGTERM\n")
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("the stop took %s though it ended at once", took)
	}
}

func stopOfImage(t *suite.T) {
	config := suite.BaseConfig()
	config.StopSignal = "SIGUSR1"
	image := pullNew(t, config)
	c := t.RunPod().Run(suite.Image(image), suite.Payload("signals", "9"))
	c.WaitText("ready")
	c.Stop(60 * time.Second)
	c.WantExit(9)
	suite.Equal(t, "log", c.Stdout(), "signals: ready\nsignal SIGUSR1\n")
}

func stopOfSpec(t *suite.T) {
	c := t.RunPod().Run(suite.Payload("signals", "9"), func(c *runtimeapi.ContainerConfig) {
		c.StopSignal = runtimeapi.Signal_SIGNAL_SIGINT
	})
	suite.Equal(t, "stop signal of the status", c.Status().StopSignal, runtimeapi.Signal_SIGNAL_SIGINT)
	c.WaitText("ready")
	c.Stop(60 * time.Second)
	c.WantExit(9)
	suite.Equal(t, "log", c.Stdout(), "signals: ready\nsignal SIGINT\n")
}

func stopGrace(t *suite.T) {
	c := t.RunPod().Run(suite.Payload("signals", "9", "SIGTERM"))
	c.WaitText("ready")
	start := time.Now()
	c.Stop(3 * time.Second)
	took := time.Since(start)
	c.WantExit(137)
	if took < 2500*time.Millisecond || took > 30*time.Second {
		t.Errorf("the stop took %s, the grace was 3 s", took)
	}
	suite.Equal(t, "log", c.Stdout(), "signals: ready\nsignal SIGTERM\n")
}

func stopNoGrace(t *suite.T) {
	c := t.RunPod().Run(suite.Payload("signals", "9"))
	c.WaitText("ready")
	c.Stop(0)
	c.WantExit(137)
}

// A second stop with less patience must not wait for the first.
func stopShorter(t *suite.T) {
	c := t.RunPod().Run(suite.Payload("signals", "9", "SIGTERM"))
	c.WaitText("ready")
	start := time.Now()
	first := make(chan error, 1)
	go func() { first <- c.TryStop(t.Ctx, 100*time.Second) }()
	c.WaitText("SIGTERM")
	t.Must(c.TryStop(t.Ctx, time.Second), "the second stop")
	t.Must(<-first, "the first stop")
	if took := time.Since(start); took > 60*time.Second {
		t.Errorf("the stops took %s", took)
	}
	c.WantExit(137)
}

// A process that SIGSTOP holds can't handle SIGTERM, but must die when the grace is over.
func stopStopped(t *suite.T) {
	p := t.RunPod()
	c := p.Run()
	for _, pid := range payloads(p, "pause") {
		t.Must(syscall.Kill(pid, syscall.SIGSTOP), "kill")
	}
	c.Stop(time.Second)
	c.WantExit(137)
}
