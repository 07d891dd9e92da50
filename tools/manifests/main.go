// SPDX-License-Identifier: Apache-2.0

// Manifests builds kustomizations as kustomize does and holds every object against
// the schema that Kubernetes publishes for it: a key that is not in it, a value of
// another type, or something that is missing is an error.
//
// It is a module of its own, since the libraries of Kubernetes want versions of
// their own of what the other tools share.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"sigs.k8s.io/kubectl-validate/pkg/openapiclient"
	"sigs.k8s.io/kubectl-validate/pkg/validator"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// version is the newest of Kubernetes whose schemas come with the library.
const version = "1.30"

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: manifests DIR ...")
		os.Exit(2)
	}
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "manifests:", err)
		os.Exit(1)
	}
}

func run(dirs []string, out io.Writer) error {
	known, err := validator.New(openapiclient.NewOverlay(openapiclient.HardcodedPatchLoader(version), openapiclient.NewHardcodedBuiltins(version)))
	if err != nil {
		return fmt.Errorf("read the schemas of Kubernetes %s: %w", version, err)
	}
	var wrong []error
	for _, dir := range dirs {
		n, err := check(known, dir)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		if _, err := fmt.Fprintf(out, "%s: %d objects, as Kubernetes %s has them\n", dir, n, version); err != nil {
			return err
		}
	}
	return errors.Join(wrong...)
}

// check builds dir and returns how many objects it makes.
func check(known *validator.Validator, dir string) (int, error) {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return 0, fmt.Errorf("build %s: %w", dir, err)
	}
	var wrong []error
	for _, r := range built.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			return 0, fmt.Errorf("build %s: %w", dir, err)
		}
		_, object, err := known.Parse(text)
		if err == nil {
			err = known.Validate(object)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %s: %w", dir, r.CurId(), err))
		}
	}
	if built.Size() == 0 {
		wrong = append(wrong, fmt.Errorf("%s makes nothing", dir))
	}
	return built.Size(), errors.Join(wrong...)
}
