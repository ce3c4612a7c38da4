package main

import (
	"fmt"
	"sync"

	v1 "k8s.io/api/core/v1"
)

// pods holds what the API server would have told this kubelet to run.
type pods struct {
	mutex sync.Mutex
	byUID map[string]*v1.Pod
}

func newPods() *pods {
	return &pods{byUID: map[string]*v1.Pod{}}
}

func (p *pods) add(pod *v1.Pod) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.byUID[string(pod.UID)] = pod
}

func (p *pods) remove(uid string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	delete(p.byUID, uid)
}

func (p *pods) get(uid string) (*v1.Pod, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	pod, ok := p.byUID[uid]
	if !ok {
		return nil, fmt.Errorf("no pod with uid %q", uid)
	}
	return pod, nil
}

func (p *pods) container(uid, name string) (*v1.Pod, *v1.Container, error) {
	pod, err := p.get(uid)
	if err != nil {
		return nil, nil, err
	}
	for _, containers := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			if containers[i].Name == name {
				return pod, &containers[i], nil
			}
		}
	}
	return nil, nil, fmt.Errorf("pod %q has no container %q", pod.Name, name)
}

// GetActivePods implements kubelet's podresources.PodsProvider.
func (p *pods) GetActivePods() []*v1.Pod {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	active := make([]*v1.Pod, 0, len(p.byUID))
	for _, pod := range p.byUID {
		active = append(active, pod)
	}
	return active
}

// GetPods implements kubelet's podresources.PodsProvider.
func (p *pods) GetPods() []*v1.Pod {
	return p.GetActivePods()
}

// GetPodByName implements kubelet's podresources.PodsProvider.
func (p *pods) GetPodByName(namespace, name string) (*v1.Pod, bool) {
	for _, pod := range p.GetActivePods() {
		if pod.Namespace == namespace && pod.Name == name {
			return pod, true
		}
	}
	return nil, false
}

// ready implements kubelet's config.SourcesReady: pods come from one source, and it is always there.
type ready struct{}

func (ready) AddSource(string) {}
func (ready) AllReady() bool   { return true }
