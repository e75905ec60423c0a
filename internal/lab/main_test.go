package lab_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"appliance/internal/lab"
)

// roleVar tells this test binary to be something else than a test: the
// processes that tests start, see roles.
const roleVar = "LAB_TEST_ROLE"

// roles are what the test binary can be.
var roles = map[string]func() error{
	"crash":    beCrash,
	"patient":  bePatient,
	"obedient": func() error { return beAppliance(0) },
	"clumsy":   func() error { return beAppliance(3) },
	"broken":   func() error { return errors.New("cannot: no such luck") },
	"mute":     func() error { select {} },
}

func TestMain(m *testing.M) {
	role := os.Getenv(roleVar)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := roles[role](); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// crashing is the lab of beCrash: out of reach, it would be let go by the garbage
// collector, which closes the file whose lock says that the lab lives.
var crashing *lab.Lab

// beCrash builds a lab with a process in it, says so on stdout, and waits to be
// killed.
func beCrash() error {
	l, err := lab.New(context.Background(), lab.Config{})
	if err != nil {
		return err
	}
	crashing = l
	sleeper := exec.Command("sleep", "600")
	if err := l.Nodes[0].Launch(sleeper); err != nil {
		return err
	}
	fmt.Println(l.ID(), sleeper.Process.Pid)
	select {}
}

// bePatient builds a lab by Run, says so on stdout, and waits for an interruption.
func bePatient() error {
	return lab.Run(context.Background(), lab.Config{}, func(ctx context.Context, l *lab.Lab) error {
		fmt.Println(l.ID())
		<-ctx.Done()
		return nil
	})
}

// beAppliance answers /ready at the socket that its configuration file names,
// until SIGTERM; then it exits with status.
func beAppliance(status int) error {
	file, err := os.ReadFile(os.Args[len(os.Args)-1])
	if err != nil {
		return err
	}
	if got, want := strings.Join(os.Args[1:len(os.Args)-1], " "), "run -c"; got != want {
		return fmt.Errorf("called as %q, want %q", got, want)
	}
	socket := regexp.MustCompile(`(?m)^socket = "(.*)"$`).FindSubmatch(file)
	os.Remove(string(socket[1])) // of the last one
	listener, err := net.Listen("unix", string(socket[1]))
	if err != nil {
		return err
	}
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("{}")) }))
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	<-term
	fmt.Println("told to end")
	os.Exit(status)
	return nil
}
