package deploy

import (
	"path/filepath"
	"slices"
	"testing"
)

func manifests(t *testing.T) map[string][]map[string]any {
	t.Helper()
	all := map[string][]map[string]any{}
	for _, pattern := range []string{"kubernetes/*.yaml", "envoy-gateway/*.yaml", "istio/policies.yaml"} {
		files, err := filepath.Glob("../../deploy/" + pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("deploy/ has no %s", pattern)
		}
		for _, f := range files {
			objects, err := read(f)
			if err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			all[f] = objects
		}
	}
	return all
}

func TestManifestsFollowThePublishedSchemas(t *testing.T) {
	for file, objects := range manifests(t) {
		for _, o := range objects {
			if err := judge(t, o); err != nil {
				t.Errorf("%s: %s %s: %v", file, o["kind"], at(o, "metadata", "name"), err)
			}
		}
	}
}

// TestSchemasRefuseWhatIsMisspelt shows that the judge is strict, in Kubernetes'
// own objects and in others'.
func TestSchemasRefuseWhatIsMisspelt(t *testing.T) {
	for what, o := range map[string]map[string]any{
		"a field of a pod":             {"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "x"}, "spec": map[string]any{"containers": []any{map[string]any{"name": "x", "securityContex": map[string]any{}}}}},
		"a field of a security policy": {"apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "SecurityPolicy", "metadata": map[string]any{"name": "x"}, "spec": map[string]any{"extAuth": map[string]any{"failopen": false}}},
		"a kind":                       {"apiVersion": "v1", "kind": "Pood"},
	} {
		if judge(t, o) == nil {
			t.Errorf("%s that is misspelt passes", what)
		}
	}
}

// at follows keys into an object.
func at(o any, keys ...string) any {
	for _, k := range keys {
		m, _ := o.(map[string]any)
		o = m[k]
	}
	return o
}

func list(o any) []any { l, _ := o.([]any); return l }

func TestContainersHoldNoPrivilege(t *testing.T) {
	seen := 0
	for file, objects := range manifests(t) {
		for _, o := range objects {
			pod := at(o, "spec", "template", "spec")
			if pod == nil {
				continue
			}
			if at(pod, "securityContext", "runAsNonRoot") != true || at(pod, "automountServiceAccountToken") != false ||
				at(pod, "hostNetwork") != nil || at(pod, "hostPID") != nil {
				t.Errorf("%s: the pods of %v are not confined", file, at(o, "metadata", "name"))
			}
			for _, c := range slices.Concat(list(at(pod, "containers")), list(at(pod, "initContainers"))) {
				seen++
				if at(c, "securityContext", "allowPrivilegeEscalation") != false || at(c, "securityContext", "readOnlyRootFilesystem") != true ||
					!slices.Equal(list(at(c, "securityContext", "capabilities", "drop")), []any{"ALL"}) || at(c, "resources", "limits", "memory") == nil {
					t.Errorf("%s: container %v is not confined", file, at(c, "name"))
				}
			}
		}
	}
	if seen == 0 {
		t.Error("there are no containers")
	}
}

// TestApplicationsAreReachedFromTheEdgeAlone reads the network policies.
func TestApplicationsAreReachedFromTheEdgeAlone(t *testing.T) {
	denied, fromEdge := map[any]bool{}, 0
	for _, objects := range manifests(t) {
		for _, o := range objects {
			if o["kind"] != "NetworkPolicy" {
				continue
			}
			space := at(o, "metadata", "namespace")
			if sel, ok := at(o, "spec", "podSelector").(map[string]any); ok && len(sel) == 0 && slices.Contains(list(at(o, "spec", "policyTypes")), any("Ingress")) {
				denied[space] = true // every pod is selected: what no rule opens is shut
			}
			if space != "neosc-apps" {
				continue
			}
			for _, rule := range list(at(o, "spec", "ingress")) {
				from := list(at(rule, "from"))
				if len(from) == 0 {
					t.Errorf("%v lets everybody in", at(o, "metadata", "name"))
				}
				for _, f := range from {
					if at(f, "namespaceSelector", "matchLabels", "kubernetes.io/metadata.name") != "neosc-edge" || at(f, "podSelector", "matchLabels", "app.kubernetes.io/name") == nil {
						t.Errorf("%v lets in %v", at(o, "metadata", "name"), f)
					}
					fromEdge++
				}
			}
		}
	}
	if !denied["neosc-apps"] || !denied["neosc-edge"] || fromEdge == 0 {
		t.Errorf("namespaces shut by default: %v; rules from the edge: %d", denied, fromEdge)
	}
}
