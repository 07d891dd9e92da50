// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// A Workload is a StatefulSet or Deployment of deploy/kubernetes, as far as it has to
// agree with the commands and with their configuration. That its keys are those of
// Kubernetes is for tools/manifests to say.
type Workload struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		ServiceName string `yaml:"serviceName"`
		Replicas    int
		Selector    struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		}
		Strategy struct{ Type string }
		Template struct {
			Metadata struct{ Labels map[string]string }
			Spec     Pod
		}
		VolumeClaimTemplates []struct{ Metadata struct{ Name string } } `yaml:"volumeClaimTemplates"`
	}
}

// A Pod is what is in it.
type Pod struct {
	AutomountServiceAccountToken  *bool `yaml:"automountServiceAccountToken"`
	TerminationGracePeriodSeconds int   `yaml:"terminationGracePeriodSeconds"`
	SecurityContext               struct {
		RunAsNonRoot bool `yaml:"runAsNonRoot"`
		RunAsUser    int  `yaml:"runAsUser"`
		FSGroup      int  `yaml:"fsGroup"`
	} `yaml:"securityContext"`
	Containers []Container
	Volumes    []struct {
		Name      string
		ConfigMap *struct{ Name string } `yaml:"configMap"`
		Secret    *struct {
			SecretName string `yaml:"secretName"`
		}
		Claim *struct {
			ClaimName string `yaml:"claimName"`
		} `yaml:"persistentVolumeClaim"`
		EmptyDir map[string]any `yaml:"emptyDir"`
	}
}

// A Container is one of a pod.
type Container struct {
	Name, Image string
	Args        []string
	Env         []struct{ Name, Value string }
	Ports       []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	StartupProbe    *Probe `yaml:"startupProbe"`
	LivenessProbe   *Probe `yaml:"livenessProbe"`
	ReadinessProbe  *Probe `yaml:"readinessProbe"`
	Resources       struct{ Requests, Limits map[string]string }
	SecurityContext struct {
		AllowPrivilegeEscalation *bool                   `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRootFilesystem   bool                    `yaml:"readOnlyRootFilesystem"`
		Capabilities             struct{ Drop []string } `yaml:"capabilities"`
	} `yaml:"securityContext"`
	VolumeMounts []struct {
		Name        string
		MountPath   string `yaml:"mountPath"`
		SubPathExpr string `yaml:"subPathExpr"`
		ReadOnly    bool   `yaml:"readOnly"`
	} `yaml:"volumeMounts"`
}

// A Probe is how the kubelet asks.
type Probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// Workloads returns those of the overlays, by the overlay's directory.
func (p *Project) Workloads() (map[string]*Workload, error) {
	dirs, err := filepath.Glob(filepath.Join(p.Root, "deploy", "kubernetes", "overlays", "*"))
	if err != nil {
		return nil, fmt.Errorf("find overlays: %w", err)
	}
	out := map[string]*Workload{}
	for _, dir := range dirs {
		for _, name := range []string{"statefulset.yaml", "deployment.yaml"} {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if os.IsNotExist(err) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("read workload: %w", err)
			}
			w := &Workload{}
			if err := yaml.Unmarshal(b, w); err != nil {
				return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, name), err)
			}
			out[dir] = w
		}
	}
	return out, nil
}

// Environ is a container's environment in the first of its workload's pods, for what
// is given by value.
func (w *Workload) Environ(c *Container) []string {
	var out []string
	for _, e := range c.Env {
		if e.Value != "" {
			out = append(out, e.Name+"="+strings.ReplaceAll(e.Value, "$(POD_NAME)", w.Metadata.Name+"-0"))
		}
	}
	return out
}

// CheckPods parses the arguments of each container that runs image as the command
// would, and returns how many there are.
func (p *Project) CheckPods(root *cobra.Command, image string) (int, error) {
	all, err := p.Workloads()
	if err != nil {
		return 0, err
	}
	n := 0
	for dir, w := range all {
		for _, c := range w.Spec.Template.Spec.Containers {
			if c.Image != image {
				continue
			}
			n++
			if _, err := parse(root, c.Args); err != nil {
				return n, fmt.Errorf("%s: %w", dir, err)
			}
		}
	}
	return n, nil
}
