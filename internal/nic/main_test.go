package nic

import (
	"os"
	"testing"

	"appliance/internal/privtest"
)

func TestMain(m *testing.M) { os.Exit(privtest.Run(m)) }
