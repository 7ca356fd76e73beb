package kubeadm

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

const (
	replicas = 3
	requests = 25 // to three replicas, chosen at random: the chance to miss one is (2/3)^25 times three, one in ten thousand
	// the dot at the end spares an emulated processor the tries with each domain of resolv.conf
	webURL = "http://web.demo.svc.cluster.local./"
)

func deployment(ctx context.Context, c *cluster) error {
	if err := c.apply(ctx, "web.yaml"); err != nil {
		return err
	}
	return c.rolledOut(ctx)
}

// rolledOut waits until the Deployment web has what it asks for, and nothing older.
func (c *cluster) rolledOut(ctx context.Context) error {
	_, err := until(ctx, c.api, collection("apps/v1", namespace, "deployments"), named("web"),
		func(all objects[appsv1.Deployment]) string {
			d := all["web"]
			if d == nil {
				return "it is gone"
			}
			s := d.Status
			if s.ObservedGeneration < d.Generation || s.UpdatedReplicas != replicas || s.AvailableReplicas != replicas ||
				s.Replicas != replicas {
				return fmt.Sprintf("%d replicas, %d updated, %d available", s.Replicas, s.UpdatedReplicas, s.AvailableReplicas)
			}
			return ""
		})
	return err
}

// webPods are the names of the pods of web that are not about to end.
func (c *cluster) webPods(ctx context.Context) (map[string]bool, error) {
	var list corev1.PodList
	if err := c.get(ctx, collection("v1", namespace, "pods")+"?labelSelector=app%3Dweb", &list); err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil {
			names[pod.Name] = true
		}
	}
	return names, nil
}

// ask asks the Service from the client pod, and counts the pods that answered.
func ask(ctx context.Context, count int) (map[string]int, error) {
	out, err := inPod(ctx, clientPod, fmt.Sprintf("i=0; while [ $i -lt %d ]; do wget -O - %s || echo FAILED; i=$((i+1)); done",
		count, webURL))
	if err != nil {
		return nil, err
	}
	answers := map[string]int{}
	for _, name := range strings.Fields(out) {
		answers[name]++
	}
	return answers, nil
}

func service(ctx context.Context, c *cluster) error {
	pods, err := c.webPods(ctx)
	if err != nil {
		return err
	}
	answers, err := ask(ctx, requests)
	if err != nil {
		return err
	}
	for name := range answers {
		if !pods[name] {
			return fmt.Errorf("answers by %v, the pods are %v", answers, pods)
		}
	}
	if len(answers) != replicas {
		return fmt.Errorf("%d pods answered: %v", len(answers), answers)
	}
	out, err := inPod(ctx, clientPod, "wget -O - http://web/ && cat /etc/resolv.conf")
	if err != nil || !pods[strings.Fields(out)[0]] {
		return fmt.Errorf("by the short name: %q %w", out, err)
	}
	return nil
}

func rollingUpdate(ctx context.Context, c *cluster) error {
	old, err := c.webPods(ctx)
	if err != nil {
		return err
	}
	// the asking goes on until the file is there
	const stop = "/tmp/stop-asking"
	type result struct {
		out string
		err error
	}
	asked := make(chan result, 1)
	go func() {
		out, err := inPod(ctx, clientPod, "rm -f "+stop+"; while [ ! -e "+stop+" ]; do wget -O - "+webURL+" || echo FAILED; sleep 0.5; done")
		asked <- result{out, err}
	}()
	updateErr := c.merge(ctx, collection("apps/v1", namespace, "deployments")+"/web",
		`{"spec":{"template":{"metadata":{"annotations":{"version":"two"}}}}}`)
	if updateErr == nil {
		updateErr = c.rolledOut(ctx)
	}
	if _, err := inPod(ctx, clientPod, "touch "+stop); err != nil {
		return err
	}
	during := <-asked
	if updateErr != nil {
		return updateErr
	}
	if during.err != nil {
		return during.err
	}
	answers := strings.Fields(during.out)
	if failed := strings.Count(during.out, "FAILED"); failed > 0 || len(answers) == 0 {
		return fmt.Errorf("%d of %d requests failed during the update", failed, len(answers))
	}
	after, err := ask(ctx, 2*replicas)
	for name := range after {
		if old[name] || name == "FAILED" {
			return fmt.Errorf("after the update: answers by %v, the old pods were %v", after, old)
		}
	}
	return err
}

func (c *cluster) jobDone(ctx context.Context, query string, completions int32) error {
	_, err := until(ctx, c.api, collection("batch/v1", namespace, "jobs"), query, func(jobs objects[batchv1.Job]) string {
		for _, j := range jobs {
			if j.Status.Failed > 0 {
				return fmt.Sprintf("%d pods failed", j.Status.Failed)
			}
			if j.Status.Succeeded == completions && j.Status.CompletionTime != nil {
				return ""
			}
		}
		return fmt.Sprintf("of %d jobs none is done", len(jobs))
	})
	return err
}

func job(ctx context.Context, c *cluster) error {
	if err := c.apply(ctx, "job.yaml"); err != nil {
		return err
	}
	if err := c.jobDone(ctx, named("job"), 3); err != nil {
		return err
	}
	out, err := kubectl(ctx, "logs", "-l", "job-name=job")
	if err != nil || strings.Count(out, "done by job-") != 3 {
		return fmt.Errorf("the logs: %q %w", out, err)
	}
	return nil
}

func cronJob(ctx context.Context, c *cluster) error {
	if err := c.apply(ctx, "cronjob.yaml"); err != nil {
		return err
	}
	if err := c.jobDone(ctx, "", 1); err != nil {
		return err
	}
	// it would go on each minute
	return c.remove(ctx, collection("batch/v1", namespace, "cronjobs")+"/cron")
}

func daemonSet(ctx context.Context, c *cluster) error {
	if err := c.apply(ctx, "daemonset.yaml"); err != nil {
		return err
	}
	if err := c.podsReady(ctx, "labelSelector=app=agent", 1); err != nil {
		return err
	}
	text, err := os.ReadFile("/run/kubeadm-agent/agent")
	if err != nil || string(text) != "node\n" {
		return fmt.Errorf("the agent wrote %q: %w", text, err)
	}
	return nil
}

func statefulSet(ctx context.Context, c *cluster) error {
	if err := os.MkdirAll("/var/lib/kubeadm-volume", 0o755); err != nil {
		return err
	}
	if err := c.apply(ctx, "statefulset.yaml"); err != nil {
		return err
	}
	first, err := c.pod(ctx, "store-0", podReady)
	if err != nil {
		return err
	}
	if err := c.remove(ctx, collection("v1", namespace, "pods")+"/store-0"); err != nil {
		return err
	}
	pods, err := until(ctx, c.api, collection("v1", namespace, "pods"), named("store-0"), func(pods objects[corev1.Pod]) string {
		if pods["store-0"] == nil || pods["store-0"].UID == first.UID {
			return "the pod has not been made again"
		}
		return podReady(pods["store-0"])
	})
	if err != nil {
		return err
	}
	out, err := inPod(ctx, "store-0", "cat /data/starts")
	if err != nil || out != "start\nstart\n" {
		return fmt.Errorf("%s: the volume has %q: %w", pods["store-0"].Name, out, err)
	}
	return byName(ctx)
}

// byName asks the pod by its own name: DNS follows the new address in its time.
func byName(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := inPod(limit, clientPod, "until wget -O - http://store-0.store:8080/; do sleep 1; done")
	if err != nil || strings.TrimSpace(out) != "store-0" {
		return fmt.Errorf("store-0.store answered %q: %w", out, err)
	}
	return nil
}
