package xsk

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// explainSocket says what to do about an error of socket(AF_XDP).
func explainSocket(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("needs CAP_NET_RAW (run as root, or grant the capability): %w", err)
	case errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("the kernel has no AF_XDP sockets (needs Linux 5.4 with CONFIG_XDP_SOCKETS): %w", err)
	}
	return fmt.Errorf("make the socket: %w", err)
}

// explainUMEM says what to do about an error of registering size bytes.
func explainUMEM(err error, size int) error {
	switch {
	case errors.Is(err, unix.ENOBUFS):
		return fmt.Errorf("locked memory limit too low for %d MiB a socket (raise RLIMIT_MEMLOCK with `ulimit -l`, or grant CAP_IPC_LOCK): %w", size>>20, err)
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("not enough memory to pin %d MiB of frames (configure fewer): %w", size>>20, err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("the kernel refuses the frame size (2048, or 4096 where a page is as large): %w", err)
	}
	return fmt.Errorf("register %d MiB of frames: %w", size>>20, err)
}

// explainBind says what to do about an error of bind; nil for nil.
func explainBind(err error, cfg Config) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("the queue is held by another AF_XDP socket: end the program that holds it (`ss --xdp -ap` names it), or, if that was just killed, try again: %w", err)
	case errors.Is(err, unix.EOPNOTSUPP) && cfg.ZeroCopy == ZeroCopyRequire:
		return fmt.Errorf("the driver has no zero-copy: don't require it: %w", err)
	case errors.Is(err, unix.EINVAL) && cfg.ZeroCopy == ZeroCopyRequire:
		return fmt.Errorf("the interface has no such queue (`ethtool -l %s` counts them), or its MTU is too large for zero-copy with this frame size: %w", cfg.Interface, err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("the interface has no such queue (`ethtool -l %s` counts them), or the kernel is older than 5.4: %w", cfg.Interface, err)
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("no such interface (`ip link` lists them): %w", err)
	}
	return fmt.Errorf("bind: %w", err)
}
