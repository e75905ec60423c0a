package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
)

// program is the import path of the appliance's command.
const program = "appliance/cmd/appliance"

// built remembers what Build made in this process.
var built struct {
	sync.Mutex
	path string
}

// Build returns the path of an appliance to start nodes with. The appliance
// itself (`appliance demo`) returns its own; any other program, a test above
// all, builds it, once a process, below bin/ of the module it runs in.
func Build(ctx context.Context) (string, error) {
	if info, ok := debug.ReadBuildInfo(); ok && info.Path == program {
		// Good even after the file was replaced by a newer build.
		return fmt.Sprintf("/proc/%d/exe", os.Getpid()), nil
	}
	built.Lock()
	defer built.Unlock()
	if built.path != "" {
		return built.path, nil
	}
	path, err := compile(ctx)
	if err != nil {
		return "", fmt.Errorf("lab: build: %w", err)
	}
	built.path = path
	return path, nil
}

// compile builds the appliance. Another process may do so at the same time, and
// one may run the result: hence a file of its own first, and then a rename.
func compile(ctx context.Context) (string, error) {
	module, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	bin := filepath.Join(filepath.Dir(strings.TrimSpace(string(module))), "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	fresh := filepath.Join(bin, fmt.Sprintf("appliance-%d", os.Getpid()))
	defer os.Remove(fresh) // after the rename there is nothing to remove
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", fresh, program).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	path := filepath.Join(bin, "appliance-lab")
	return path, os.Rename(fresh, path)
}
