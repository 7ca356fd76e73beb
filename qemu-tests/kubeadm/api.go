package kubeadm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

// api speaks to the API server. Paths are those of the API, and objects its JSON: typed clients of all groups would double the
// program's size.
type api struct {
	base   string
	client *http.Client
}

func connect(kubeconfig string) (*api, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	return &api{strings.TrimSuffix(config.Host, "/"), client}, nil
}

// call sends body, if there is one, and decodes the answer into result, if that is wanted.
func (a *api) call(ctx context.Context, method, path, contentType string, body []byte, result any) error {
	reply, err := a.send(ctx, method, path, contentType, body)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if result == nil {
		return nil
	}
	return json.NewDecoder(reply.Body).Decode(result)
}

func (a *api) send(ctx context.Context, method, path, contentType string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	reply, err := a.client.Do(request)
	if err != nil {
		return nil, err
	}
	if reply.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(reply.Body, 4096))
		reply.Body.Close()
		var status metav1.Status
		if json.Unmarshal(text, &status) == nil && status.Message != "" {
			text = []byte(status.Message)
		}
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, reply.Status, text)
	}
	return reply, nil
}

func (a *api) get(ctx context.Context, path string, result any) error {
	return a.call(ctx, http.MethodGet, path, "", nil, result)
}

func (a *api) remove(ctx context.Context, path string) error {
	return a.call(ctx, http.MethodDelete, path, "", nil, nil)
}

// merge changes an object as a JSON merge patch says.
func (a *api) merge(ctx context.Context, path, patch string) error {
	return a.call(ctx, http.MethodPatch, path, "application/merge-patch+json", []byte(patch), nil)
}

// plurals are the API's collections of the kinds in manifests/, by group and version.
var plurals = map[string]string{
	"v1 Namespace": "namespaces", "v1 Pod": "pods", "v1 Service": "services", "v1 ConfigMap": "configmaps", "v1 Secret": "secrets",
	"v1 PersistentVolume": "persistentvolumes", "v1 PersistentVolumeClaim": "persistentvolumeclaims",
	"v1 ServiceAccount":  "serviceaccounts",
	"apps/v1 Deployment": "deployments", "apps/v1 DaemonSet": "daemonsets", "apps/v1 StatefulSet": "statefulsets",
	"batch/v1 Job": "jobs", "batch/v1 CronJob": "cronjobs", "storage.k8s.io/v1 StorageClass": "storageclasses",
	"storage.k8s.io/v1 CSIDriver":                     "csidrivers",
	"rbac.authorization.k8s.io/v1 ClusterRole":        "clusterroles",
	"rbac.authorization.k8s.io/v1 Role":               "roles",
	"rbac.authorization.k8s.io/v1 RoleBinding":        "rolebindings",
	"rbac.authorization.k8s.io/v1 ClusterRoleBinding": "clusterrolebindings",
	"apiregistration.k8s.io/v1 APIService":            "apiservices",
}

// apply makes what a manifest of manifests/ says, or changes it into that (server-side apply).
func (a *api) apply(ctx context.Context, name string) error {
	text, err := manifests.ReadFile("manifests/" + name)
	if err != nil {
		return err
	}
	for _, document := range strings.Split(string(text), "\n---\n") {
		var object struct {
			metav1.TypeMeta   `json:",inline"`
			metav1.ObjectMeta `json:"metadata"`
		}
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		plural, ok := plurals[object.APIVersion+" "+object.Kind]
		if !ok {
			return fmt.Errorf("%s: no collection is known of %s %s", name, object.APIVersion, object.Kind)
		}
		path := collection(object.APIVersion, object.Namespace, plural) + "/" + object.Name
		if err := a.call(ctx, http.MethodPatch, path+"?fieldManager=crisp-tests&force=true", "application/apply-patch+yaml",
			[]byte(document), nil); err != nil {
			return err
		}
	}
	return nil
}

// collection is the path of the objects of one kind; group is "v1", "apps/v1" and so on, namespace "" for those that are in none.
func collection(group, namespace, plural string) string {
	path := "/apis/" + group
	if !strings.Contains(group, "/") {
		path = "/api/" + group
	}
	if namespace != "" {
		path += "/namespaces/" + namespace
	}
	return path + "/" + plural
}

// objects are those of a collection that are watched, by name.
type objects[T any] map[string]*T

// until watches a collection (the query is a field or label selector: "fieldSelector=metadata.name=web") until missing, which is
// asked after each change, says "". It returns what there is then. What is still missing when the context ends is the error.
func until[T any](ctx context.Context, a *api, path, query string, missing func(objects[T]) string) (objects[T], error) {
	reason := "there is none yet"
	for {
		all, again, err := watch(ctx, a, path, query, missing, &reason)
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("in the end: %s", reason)
		}
		if !again {
			return all, nil
		}
	}
}

// watch is one round of until; again: the server has ended it.
func watch[T any](ctx context.Context, a *api, path, query string, missing func(objects[T]) string,
	reason *string) (all objects[T], again bool, err error) {
	parts := url.Values{"watch": {"true"}}
	for _, part := range strings.Split(query, "&") {
		if key, value, ok := strings.Cut(part, "="); ok {
			parts.Set(key, value)
		}
	}
	reply, err := a.send(ctx, http.MethodGet, path+"?"+parts.Encode(), "", nil)
	if err != nil {
		return nil, false, err
	}
	defer reply.Body.Close()
	all = objects[T]{}
	// without a resourceVersion, what is there comes first, as if it were new
	for stream := json.NewDecoder(reply.Body); ; {
		var event struct {
			Type   string
			Object json.RawMessage
		}
		if err := stream.Decode(&event); err != nil {
			return nil, true, nil
		}
		if err := all.change(event.Type, event.Object); err != nil {
			return nil, false, err
		}
		if *reason = missing(all); *reason == "" {
			return all, false, nil
		}
	}
}

func (o objects[T]) change(kind string, text []byte) error {
	var named struct {
		metav1.ObjectMeta `json:"metadata"`
	}
	if kind == "ERROR" {
		return fmt.Errorf("watch: %.300s", text)
	}
	if err := json.Unmarshal(text, &named); err != nil {
		return err
	}
	if kind == "DELETED" {
		delete(o, named.Name)
		return nil
	}
	object := new(T)
	if err := json.Unmarshal(text, object); err != nil {
		return err
	}
	o[named.Name] = object
	return nil
}

// named is the query for one object.
func named(name string) string { return "fieldSelector=metadata.name=" + name }

// answers waits until the API server says that it is ready.
func (a *api) answers(ctx context.Context) error {
	for {
		err := a.call(ctx, http.MethodGet, "/readyz", "", nil, nil)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}
