package main

import (
	"reflect"
	"testing"
)

// A spec of an ordered container was run without those before it, and failed for want of what they do.
func TestOrderedContainersAreRunWhole(t *testing.T) {
	var c ordered
	c.add("Pod when it runs", "Pod when it runs should keep running")
	c.add("Pod when it runs", "Pod when it runs should not restart")
	got := c.together([]string{"alone", "Pod when it runs should not restart", "another"})
	want := [][]string{{"alone"}, {"Pod when it runs should keep running", "Pod when it runs should not restart"}, {"another"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}
